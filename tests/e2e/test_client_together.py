"""Many clients at once: every byte arrives, and no client silently undoes another's change."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fsclient.app import App
from fsclient.session.session import Session
from fsclient.transfer.local.files import LocalStat
from fsclient.transfer.put import Put
from fsclient.transfer.report.actions import Actions
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.run import TransferRun
from fsclient.transfer.up.batch import (
    BATCH_CHANGES,
    COMMITS_AHEAD,
    BatchUploader,
    NotCommittedError,
)
from fsclient.ui import Ui
from fsproto.errors import ConflictError
from fsproto.names import parse_path
from fsproto.sealed.manifest import Mode
from tests.conftest import TIER
from tests.support.client_processes import CONFLICT, Client
from tests.support.fixed_keys import stretch

MIB = 1 << 20
CLIENTS = 50 if TIER == "soak" else 10
AT_ONCE = 10
SMALL, LARGE = 3_000, MIB + 17


@pytest.mark.long
def test_many_clients_put_and_get_at_the_same_time(client):
    common = f"{client.room}/common"
    client.quick("mkdir", common).ok()
    contents = {n: stretch(f"client {n}", LARGE if n % 5 == 0 else SMALL) for n in range(CLIENTS)}
    for n, content in contents.items():
        client.write(f"{n}", content)

    def work(n: int) -> bytes:
        own = f"{client.room}/own {n}"
        script = (
            f"put {n} {common}/\n"
            f"put {n} '{own}/mine'\n"
            f"get '{own}/mine' {common}/{n} 'back {n}/'\n"
            f"cat {common}/{n}\n"
        )
        shown: bytes = client.run("shell", "--quiet", given=script.encode()).ok().out
        return shown

    with ThreadPoolExecutor(AT_ONCE) as people:
        written = list(people.map(work, contents))
    assert written == list(contents.values())
    for n, content in contents.items():
        for name in ("mine", f"{n}"):
            assert (client.folder / f"back {n}" / name).read_bytes() == content
    assert sorted(map(int, client.names(common))) == list(contents)
    client.quick("get", common, "all").ok()
    for n, content in contents.items():
        assert (client.folder / "all" / f"{n}").read_bytes() == content


# --- two clients at the same moment


@dataclass
class Interrupting:
    """A source that does something else when its first piece is read."""

    content: bytes
    meanwhile: Callable[[], object]
    given: int = 0
    facts: LocalStat = field(init=False)

    def __post_init__(self) -> None:
        self.facts = LocalStat(len(self.content), 0, Mode.REGULAR)

    def read_into(self, room: memoryview) -> int:
        if self.given == 0:
            self.meanwhile()
        piece = self.content[self.given : self.given + len(room)]
        room[: len(piece)] = piece
        self.given += len(piece)
        return len(piece)

    def check_unchanged(self, size: int) -> None:
        assert size == self.given


def blobs(client: Client) -> set[Path]:
    """Return the files in the server's blob folder, including uploads in progress."""
    return set((client.server.home / "blobs").glob("*/*"))


@contextlib.contextmanager
def session(client: Client) -> Iterator[Session]:
    app = App()
    app.options.home = client.home
    with app.session() as found:
        yield found.caching()


def put_slowly(session: Session, path: str, source: Interrupting) -> None:
    """Put a file as the client does: look first, then send, then commit."""
    place = parse_path(path)
    folder = session.tree.find(place.parent)
    before = session.tree.look(folder, [place.name])[place.name]
    uploader = BatchUploader(session, Progress(Ui(quiet=True), "put", "put"))
    try:
        uploader.put(folder.keyed, place.name, before, source)
        uploader.flush()
    finally:
        uploader.close()


@pytest.mark.cases(1)
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_who_comes_second_with_another_name_signs_again_and_sends_nothing_again(client, size):
    mine, theirs, room = stretch("mine", size), stretch("theirs", size), client.room
    client.quick("mkdir", room).ok()
    client.write("theirs", theirs)
    before = blobs(client)
    source = Interrupting(mine, lambda: client.run("put", "theirs", f"{room}/").ok())
    with session(client) as mine_session:
        put_slowly(mine_session, f"{room}/mine", source)
    assert source.given == size
    assert len(blobs(client) - before) == (2 if size == LARGE else 0)
    assert client.cat(f"{room}/mine") == mine
    assert client.cat(f"{room}/theirs") == theirs


@pytest.mark.cases(2)
@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("there", [False, True])
def test_of_two_writers_of_a_file_the_second_gets_a_conflict_and_keeps_its_data(
    client, size, there
):
    mine, theirs, room = stretch("mine", size), stretch("theirs", size), client.room
    client.quick("mkdir", room).ok()
    client.write("x", b"before")
    if there:
        client.quick("put", "x", f"{room}/").ok()
    client.write("x", theirs)
    source = Interrupting(mine, lambda: client.run("put", "x", f"{room}/").ok())
    with session(client) as mine_session, pytest.raises(NotCommittedError) as refused:
        put_slowly(mine_session, f"{room}/x", source)
    assert isinstance(refused.value.error, ConflictError)
    assert refused.value.error.exit_status == CONFLICT
    assert "'x' was changed by another person in the meantime" in refused.value.error.sentence
    assert client.cat(f"{room}/x") == theirs
    with session(client) as again:
        put_slowly(again, f"{room}/x", Interrupting(mine, lambda: None))
    assert client.cat(f"{room}/x") == mine


def test_another_person_changes_a_folder_whose_names_have_tokens_under_two_keys(newcomer, tmp_path):
    """The names of a folder that took a new key may still be there under the key before."""
    client = newcomer().enrol()
    client.folder = tmp_path
    for number in range(100):
        client.write(f"all/{number}", b"")
    client.quick("put", "all", "/").ok()
    client.quick("put", *(f"all/{number}" for number in range(100)), "/").ok()
    client.quick("keys", "rotate", "--otp", client.app.fresh()).ok()
    for place in ("mine", "7"):
        client.write("theirs", place.encode())
        source = Interrupting(b"mine", lambda: client.run("put", "theirs", "/").ok())
        with session(client) as mine_session:
            put_slowly(mine_session, place, source)
        assert client.cat(place) == b"mine"
        assert client.cat("theirs") == place.encode()


class Vanishing(Progress):
    """A progress display that removes a file as soon as the transfer of another one starts."""

    def __init__(self, path: Path) -> None:
        super().__init__(Ui(quiet=True), "put", "put")
        self._path = path

    def expect(self, size: int) -> None:
        self._path.unlink(missing_ok=True)
        super().expect(size)


def test_a_file_that_vanishes_during_the_put_is_reported_and_the_rest_is_put(client, capsys):
    for name in ("a", "vanishing", "z"):
        client.write(f"tree/{name}", name.encode())
    failures = Failures(Ui())
    with session(client) as mine, Vanishing(client.folder / "tree/vanishing") as progress:
        job = Put(TransferRun(mine, progress, failures, Actions(Ui())))
        job.run([str(client.folder / "tree")], parse_path(client.room))
    assert [failure["error"] for failure in failures.data] == ["not-found"]
    assert "vanishing' does not exist." in capsys.readouterr().err
    assert client.names(client.room) == ["a", "z"]


def test_of_two_processes_that_replace_one_file_one_wins_and_one_ends_with_a_conflict(client):
    client.write("x", b"before")
    client.quick("put", "x", f"{client.room}/").ok()
    contents = {n: stretch(f"racer {n}", 3 * MIB) for n in range(2)}
    racers = [client.start("put", "-", f"{client.room}/x", piped=True) for _ in contents]
    # All but the last bytes are sent, so that each client has looked up the file to replace.
    for racer, content in zip(racers, contents.values(), strict=True):
        assert racer.stdin is not None
        racer.stdin.write(content[:-1])
        racer.stdin.flush()
    ended = {}
    for n, racer in enumerate(racers):
        _, err = racer.communicate(contents[n][-1:])
        ended[n] = racer.returncode, err.decode()
    assert ended[0][0] == 0
    assert ended[1][0] == CONFLICT
    assert "'x' was changed by another person in the meantime; yours was not put." in ended[1][1]
    assert client.cat(f"{client.room}/x") == contents[0]


def two_at_once(work: Callable[[int], object]) -> None:
    """Run `work(0)` and `work(1)` concurrently, both from the same moment."""
    meet = threading.Barrier(2)

    def work_of(n: int) -> None:
        meet.wait()
        work(n)

    with ThreadPoolExecutor(2) as people:
        list(people.map(work_of, range(2)))


def test_two_who_make_the_same_folders_both_succeed(client):
    for n in range(2):
        client.write(f"{n}", b"%d" % n)
    two_at_once(lambda n: client.run("put", f"{n}", f"{client.room}/a/b/c/").ok())
    assert client.names(f"{client.room}/a/b/c") == ["0", "1"]


@pytest.mark.cases(1)
@pytest.mark.parametrize("same", [True, False])
def test_two_who_put_many_at_once_both_succeed(client, same):
    """Two clients put many files into one folder, or each into a new folder of its own."""
    many = BATCH_CHANGES * (COMMITS_AHEAD + 1) + 1
    names = ["all", "all"] if same else ["these", "those"]
    for n in range(2 * many):
        client.write(f"{n % 2}/{names[n % 2]}/{n}", b"%d" % n)
    client.quick("mkdir", "-p", client.room, *([f"{client.room}/all"] if same else [])).ok()
    two_at_once(lambda n: client.run("put", f"{n}/{names[n]}", f"{client.room}/").ok())
    client.quick("get", client.room, "back").ok()
    got = {path.name: path.read_bytes() for path in (client.folder / "back").glob("*/*")}
    assert got == {f"{n}": b"%d" % n for n in range(2 * many)}


def test_a_folder_removed_in_the_meantime_is_reported(client):
    room = client.room
    client.quick("mkdir", room).ok()
    source = Interrupting(stretch("mine", LARGE), lambda: client.run("rm", "-r", room).ok())
    with session(client) as mine_session, pytest.raises(NotCommittedError) as refused:
        put_slowly(mine_session, f"{room}/mine", source)
    assert refused.value.error.exit_status == CONFLICT
    assert f"{room}/" not in client.names()
