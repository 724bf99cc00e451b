"""`sync --watch`: real processes that keep folders the same, and wait out what is wrong."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.client_processes import CONFLICT, USAGE, Client, admin
from tests.support.programs import start_program
from tests.support.servers import RunningServer
from tests.support.world import until

WITHIN_S = 60.0
"""A change is on the other side within seconds; the machine may be busy."""


class Watch:
    """A running `sync --watch` of one local folder."""

    def __init__(
        self,
        client: Client,
        local: str,
        *options: str,
        log: str = "",
        inside: list[str] | None = None,
    ) -> None:
        """`inside` are the first words of a command that runs the watch."""
        self.client, self.top = client, client.folder / local
        self.top.mkdir(exist_ok=True)
        self.remote = f"{client.room}/watched"
        self._log = client.folder / f"{log or local}.log"
        with self._log.open("wb") as file:
            self.process = start_program(
                [*(inside or ()), *client.command("sync", "--watch", *options, local, self.remote)],
                env=client.environment(),
                cwd=client.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a condition; the watch must go on."""

        def holds() -> object:
            assert self.process.poll() is None, self.log
            return condition()

        try:
            until(holds, what, WITHIN_S)
        except AssertionError:
            raise AssertionError(f"{what}: {self.log}") from None

    def until_said(self, words: str, times: int = 1) -> None:
        self.until(lambda: self.log.count(words) >= times, f"it says '{words}'")

    def write(self, name: str, content: bytes) -> None:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def until_has(self, name: str, content: bytes | None) -> None:
        """Wait until a local file has this content, or is gone."""
        path = self.top / name
        self.until(
            lambda: content == (path.read_bytes() if path.is_file() else None),
            f"{path} has {content!r}",
        )

    def until_there(self, name: str, content: bytes) -> None:
        """Wait until a remote file has this content."""
        path = f"{self.remote}/{name}"
        self.until(
            lambda: (ran := self.client.quick("cat", path)).status == 0 and ran.out == content,
            f"{path} has {content!r}",
        )

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; return the exit status."""
        self.process.send_signal(number)
        return int(self.process.wait(WITHIN_S))


@contextmanager
def watching(
    client: Client, local: str, *options: str, log: str = "", inside: list[str] | None = None
) -> Iterator[Watch]:
    watch = Watch(client, local, *options, log=log, inside=inside)
    try:
        yield watch
    finally:
        if watch.process.poll() is None:
            watch.process.kill()
            watch.process.wait(WITHIN_S)


@contextmanager
def two_ways(client: Client, local: str, log: str = "") -> Iterator[Watch]:
    with watching(client, local, "--two-way", log=log) as watch:
        yield watch


@pytest.fixture
def local(client: Client) -> str:
    client.write("one/first", b"first")
    return "one"


def test_two_machines_follow_each_other(client: Client, local: str) -> None:
    with two_ways(client, local) as one, two_ways(client, "two") as two:
        two.until_has("first", b"first")
        one.write("new/file", b"new here")
        two.until_has("new/file", b"new here")
        two.write("first", b"changed there")
        one.until_has("first", b"changed there")
        (one.top / "new").rename(one.top / "moved")
        two.until_has("moved/file", b"new here")
        (two.top / "moved/file").unlink()
        one.until_has("moved/file", None)
        two.until_has("new/file", None)


def test_a_watch_towards_the_server(client: Client, local: str) -> None:
    with watching(client, local) as watch:
        watch.until_there("first", b"first")
        watch.write("sub/new", b"new")
        watch.until_there("sub/new", b"new")
        watch.write("first", b"changed")
        watch.until_there("first", b"changed")


def test_it_prints_what_was_done_and_is_else_quiet(client: Client, local: str) -> None:
    with two_ways(client, local) as watch:
        watch.until_there("first", b"first")
        client.quick("put", client.write("x", b"x"), f"{watch.remote}/other").ok()
        watch.until_has("other", b"x")
        watch.write("last", b"last")
        watch.until_there("last", b"last")
        watch.until_said("synchronised 1 file", times=3)
        lines = watch.log.splitlines()
        assert lines[0] == f"watching {local} and {watch.remote}/; Ctrl-C ends it"
        assert all(line.startswith("synchronised 1 file") for line in lines[1:]), lines


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_ends_it(client: Client, local: str, number: int, status: int) -> None:
    with two_ways(client, local) as watch:
        watch.until_there("first", b"first")
        assert watch.end(number) == status
        assert "Traceback" not in watch.log
        assert "Interrupted" not in watch.log
        assert not client.half_written()


def test_a_second_watch_of_the_pair_is_refused_with_the_first_ones_process(
    client: Client, local: str
) -> None:
    with two_ways(client, local) as first:
        first.until_there("first", b"first")
        for options in (["--two-way"], []):
            again = client.run("sync", "--watch", *options, local, first.remote)
            again.fails(CONFLICT, f"watched already, by process {first.process.pid}")
        plain = "sync", "--two-way", local, first.remote
        # The round that put the file may not have ended yet.
        first.until(lambda: client.quick(*plain).status == 0, "a plain sync works in between")
        with watching(client, "elsewhere", "--two-way") as other:
            other.until_has("first", b"first")
        first.process.kill()
        first.process.wait(WITHIN_S)
        with two_ways(client, local, log="next") as following:
            following.write("next", b"next")
            following.until_there("next", b"next")


@pytest.mark.parametrize("options", [["--down"], ["--two-way", "-n"], ["-n"]])
def test_what_does_not_go_with_a_watch(client: Client, local: str, options: list[str]) -> None:
    ran = client.quick("sync", "--watch", *options, local, f"{client.room}/watched")
    ran.fails(USAGE, "--watch does not go with")


def test_what_is_excluded_does_not_count(client: Client, local: str) -> None:
    with watching(client, local, "--two-way", "--exclude", "*.tmp") as watch:
        watch.write("a.tmp", b"a")
        watch.write("second", b"second")
        watch.until_there("second", b"second")
        client.quick("cat", f"{watch.remote}/a.tmp").fails(5)


def test_a_file_that_fails_is_told_once_and_the_others_go_on(client: Client, local: str) -> None:
    name = "bad\nname"
    with two_ways(client, local) as watch:
        watch.write(name, b"bad")
        watch.until_said("cannot be put under its name")
        for number in range(3):
            watch.write(f"good{number}", b"good")
            watch.until_there(f"good{number}", b"good")
        assert watch.log.count("cannot be put under its name") == 1


def test_a_local_folder_that_disappears_removes_nothing(client: Client, local: str) -> None:
    with two_ways(client, local) as watch:
        watch.until_there("first", b"first")
        watch.top.rename(watch.top.with_name("away"))
        watch.until_said("There is no local folder")
        watch.until_there("first", b"first")
        watch.top.with_name("away").rename(watch.top)
        watch.until_said("The watch continues.")
        watch.write("second", b"second")
        watch.until_there("second", b"second")
        assert watch.log.count("There is no local folder") == 1


NO_ROOM = ["unshare", "-Ur", "sh", "-c", 'echo 0 > "$0" && exec "$@"']


@pytest.mark.cases(1)
@pytest.mark.parametrize("limit", ["max_inotify_watches", "max_inotify_instances"])
def test_a_system_without_room_for_another_watch_is_told(
    client: Client, local: str, limit: str
) -> None:
    inside = [*NO_ROOM, f"/proc/sys/user/{limit}"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system has no user namespaces")
    with watching(client, local, "--two-way", inside=inside) as watch:
        watch.until_said("The local folder cannot be watched (")
        watch.until_there("first", b"first")
        client.quick("put", client.write("x", b"x"), f"{watch.remote}/other").ok()
        watch.until_has("other", b"x")
        assert watch.log.count("cannot be watched") == 1


# --- a server that is away, and sessions that end


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[list[RunningServer]]:
    """A server of this test alone, the last one that was started."""
    running = [RunningServer.start(tmp_path / "fsd")]
    yield running
    running[-1].stop()


@pytest.fixture
def person(own_server: list[RunningServer], tmp_path: Path) -> Client:
    one = Client(own_server[-1], "alice", tmp_path / "alice").enrol()
    one.room = "room"
    one.write("one/first", b"first")
    return one


def test_a_server_that_is_away_is_told_once_and_waited_for(
    person: Client, own_server: list[RunningServer]
) -> None:
    with two_ways(person, "one") as watch:
        watch.until_there("first", b"first")
        assert own_server[-1].stop() == 0
        watch.write("second", b"second")
        watch.until_said("The watch waits until the server can be reached.")
        watch.write("third", b"third")
        own_server.append(own_server[-1].restart())
        watch.until_there("second", b"second")
        watch.until_there("third", b"third")
        watch.until_said("The watch continues.")
        assert watch.log.count("The watch waits until the server can be reached.") == 1
        person.quick("put", person.write("x", b"x"), f"{watch.remote}/other").ok()
        watch.until_has("other", b"x")  # it also hears of changes again


def test_it_survives_that_the_machine_sleeps(
    person: Client, own_server: list[RunningServer]
) -> None:
    with two_ways(person, "one") as watch:
        watch.until_there("first", b"first")
        watch.process.send_signal(signal.SIGSTOP)
        own_server[-1].kill()
        own_server.append(own_server[-1].restart())
        watch.write("second", b"second")
        person.quick("put", person.write("x", b"x"), f"{watch.remote}/other").ok()
        watch.process.send_signal(signal.SIGCONT)
        watch.until_there("second", b"second")
        watch.until_has("other", b"x")
        person.quick("put", person.write("x", b"y"), f"{watch.remote}/other").ok()
        watch.until_has("other", b"y")


def test_a_session_that_ends_is_told_once_and_a_new_one_taken(
    person: Client, own_server: list[RunningServer]
) -> None:
    with two_ways(person, "one") as watch:
        watch.until_there("first", b"first")
        admin(own_server[-1], "revoke", "--user", "alice")
        watch.write("second", b"second")
        watch.until_said("The watch waits for a new session: fsclient login")
        watch.write("third", b"third")
        person.run("login", "--otp", person.app.fresh()).ok()
        watch.until_there("second", b"second")
        watch.until_there("third", b"third")
        watch.until_said("The watch continues.")
        assert watch.log.count("The watch waits for a new session") == 1
        person.quick("put", person.write("x", b"x"), f"{watch.remote}/other").ok()
        watch.until_has("other", b"x")


def test_with_the_secret_it_renews_the_session_by_itself(
    person: Client, own_server: list[RunningServer]
) -> None:
    secret = person.write("secret", str(person.added["secret"]).encode())
    secret.chmod(0o600)
    person.new_secret()
    secret.write_text(str(person.added["secret"]))
    with watching(person, "one", "--two-way", "--otp-secret-file", str(secret)) as watch:
        watch.until_there("first", b"first")
        admin(own_server[-1], "revoke", "--user", "alice")
        watch.write("second", b"second")
        watch.until_there("second", b"second")
        assert "waits" not in watch.log
