"""Sessions that end in the middle of a transfer, and logins at the same moment.

A new one-time password continues the transfer. Without one, the command ends with one message.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from fsclient.connection.retry import Timeouts
from fsd.net import connection
from fskit.files import lock
from fsproto.limits import SEGMENT_SIZE
from fsproto.messages.account import Login
from fsproto.messages.drops import GetDrops, RemoveDrops
from fsproto.messages.files import Download, Fetch
from fsproto.wire.connection import Control, Data, Event
from tests.support.client_processes import Client, Terminal
from tests.support.dropped_files import drop, names, waiting
from tests.support.fixed_keys import host_key, stretch
from tests.support.hostile_server import HostileServer, Lie
from tests.support.servers import environment
from tests.support.world import Person, Ran, World, finish, until

AT_ONCE = Timeouts(silence_s=20, give_up_s=30, first_pause_s=0.001, longest_pause_s=0.01)
COUNT = 6
TOGETHER = 5
FILES = {f"f{n}": stretch(f"many {n}", 3 * SEGMENT_SIZE - 5) for n in range(COUNT)}
LOGIN, SECURITY = 4, 7


class EndsSessions(Lie):
    """A server that ends alice's sessions at the n-th event of some kinds, once."""

    def __init__(self, world: World, at: int, *kinds: type) -> None:
        self._world, self._left, self._kinds = world, at, kinds
        self.logins = 0
        self.ended = False

    def hears(self, connection: object, event: Event) -> None:
        """Count logins; end the sessions when it is time."""
        what = event.message if isinstance(event, Control) else event
        self.logins += isinstance(what, Login)
        if isinstance(what, self._kinds):
            self._left -= 1
            if self._left == 0:
                end_sessions(self._world)
                self.ended = True


def end_sessions(world: World) -> None:
    with world.database() as database:
        database.execute("UPDATE sessions SET expires_ms = 0")


def unused_codes(world: World) -> None:
    """Let the server accept the code of the present step again, so that no test waits for one."""
    with world.database() as database:
        database.execute("UPDATE users SET last_step = 0")
        database.execute("DELETE FROM used_otps")


@pytest.fixture(autouse=True)
def _checks_at_every_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "RECHECK_S", 0.0)


@pytest.fixture
def alice(world: World, liar: HostileServer) -> Person:
    alice = world.alice
    alice.patience = AT_ONCE
    for name, content in FILES.items():
        alice.write(f"many/{name}", content)
    unused_codes(world)
    return alice


@pytest.fixture
def secret(alice: Person) -> Path:
    return secret_file(alice, alice.added["otpauth_uri"].encode())


def up(alice: Person, *options: str | Path, verb: str = "sync") -> Ran:
    return alice.run(*options, verb, alice.folder / "many", "many")


def ended_by_one_message(ran: Ran, status: int) -> str:
    """Check that a transfer, after it connected again, ended with one error; return that."""
    assert ran.status == status, ran.err
    sentences = [line for line in ran.err.splitlines() if line.startswith("fsclient: ")]
    assert len(sentences) == 2, ran.err
    assert sentences[0].endswith("connecting again …")
    assert "None of" not in ran.err
    return ran.err


def check_up(alice: Person) -> None:
    for name, content in FILES.items():
        assert alice.cat(f"many/{name}") == content


@pytest.mark.cases(2)
@pytest.mark.parametrize("verb", ["sync", "put"])
@pytest.mark.parametrize("at", [1, 7, 3 * COUNT])
def test_a_secret_file_renews_the_session_of_an_upload(
    alice: Person, world: World, liar: HostileServer, secret: Path, verb: str, at: int
) -> None:
    """In the first segment, in the third file, and between the last segment and the commit."""
    liar.lie = ends = EndsSessions(world, at, Data)
    up(alice, "--otp-secret-file", secret, verb=verb).succeeds()
    assert ends.ended
    check_up(alice)


@pytest.mark.parametrize("at", [1, COUNT - 1])
def test_a_secret_file_renews_the_session_of_a_download(
    alice: Person, world: World, liar: HostileServer, secret: Path, at: int
) -> None:
    up(alice).succeeds()
    liar.lie = ends = EndsSessions(world, at, Download)
    target = alice.folder / "back"
    alice.run("--otp-secret-file", secret, "get", "many", target).succeeds()
    assert ends.ended
    for name, content in FILES.items():
        assert (target / name).read_bytes() == content


@pytest.mark.cases(1)
@pytest.mark.parametrize(("kind", "at"), [(GetDrops, 1), (Download, 3), (RemoveDrops, 3)])
def test_a_secret_file_renews_the_session_that_accepts_drops(
    alice: Person, world: World, liar: HostileServer, secret: Path, kind: type, at: int
) -> None:
    for name, content in FILES.items():
        drop(liar, alice, name, content)
    liar.lie = ends = EndsSessions(world, at, kind)
    ran = alice.run("--json", "--otp-secret-file", secret, "inbox", "accept", "--all")
    accepted = json.loads(ran.succeeds())["accepted"]
    assert ends.ended
    assert [one["path"] for one in accepted] == [f"inbox/{name}" for name in FILES]
    assert names(alice) == sorted(FILES)
    assert waiting(alice) == []
    for name, content in FILES.items():
        assert alice.cat(f"inbox/{name}") == content


def test_without_a_code_the_accepted_drops_stay_accepted(
    alice: Person, world: World, liar: HostileServer
) -> None:
    for name, content in FILES.items():
        drop(liar, alice, name, content)
    assert len(waiting(alice)) == COUNT
    liar.lie = ends = EndsSessions(world, 3, Download)
    ran = alice.run("inbox", "accept", "--all")
    assert ends.ended
    assert "--otp-secret-file" in ended_by_one_message(ran, LOGIN)
    unused_codes(world)
    alice.run("--otp", alice.app.fresh(), "login").succeeds()
    assert len(names(alice)) + len(waiting(alice)) == COUNT
    assert len(names(alice)) == 2
    alice.run("inbox", "accept", "--all").succeeds()
    assert names(alice) == sorted(FILES)


@pytest.mark.cases(2)
@pytest.mark.parametrize("way", ["put", "sync", "get", "sync --down", "cat"])
def test_without_a_code_a_transfer_ends_with_one_message_and_one_refused_login(
    alice: Person, world: World, liar: HostileServer, way: str
) -> None:
    if way in ("put", "sync"):
        liar.lie = ends = EndsSessions(world, 4, Data)
        ran = up(alice, verb=way)
    else:
        up(alice).succeeds()
        liar.lie = ends = EndsSessions(world, 2, Download, Fetch)
        commands = {
            "get": ("get", "many", alice.folder / "back"),
            "sync --down": ("sync", "--down", alice.folder / "back", "many"),
            "cat": ("cat", *(f"many/{name}" for name in FILES)),
        }
        ran = alice.run(*commands[way])
    assert ends.ended
    assert ends.logins == 2  # at the start, and over the new connection
    assert "--otp-secret-file" in ended_by_one_message(ran, LOGIN)


def test_a_wrong_code_ends_a_transfer_with_one_message(
    alice: Person, world: World, liar: HostileServer
) -> None:
    liar.lie = EndsSessions(world, 4, Data)
    ran = up(alice, "--otp", "000000")
    assert "The login was refused" in ended_by_one_message(ran, LOGIN)


def test_a_host_key_that_changes_in_the_middle_ends_a_transfer_with_one_message(
    alice: Person, world: World, liar: HostileServer
) -> None:
    class TakesAnotherKey(EndsSessions):
        def hears(self, connection: object, event: Event) -> None:
            super().hears(connection, event)
            if self.ended:
                liar.door.host_key = host_key()

    liar.lie = TakesAnotherKey(world, 4, Data)
    assert "HOST KEY" in ended_by_one_message(up(alice), SECURITY)


@pytest.mark.parametrize("slips", [0, 1])
def test_on_a_terminal_a_transfer_asks_for_a_code_and_continues(
    alice: Person, world: World, liar: HostileServer, slips: int
) -> None:
    liar.lie = EndsSessions(world, 4, Data)
    client = cast("Client", OnTerminal(alice))
    with Terminal(client, "sync", str(alice.folder / "many"), "many") as terminal:
        for _ in range(slips):
            terminal.wait_for("One-time password: ")
            terminal.type("000000\r")
            terminal.wait_for("The login was refused")
        terminal.wait_for("One-time password: ")
        terminal.type(f"{alice.app.fresh()}\r")
        assert terminal.ends() == 0
    assert "session has ended" in terminal.shown
    check_up(alice)


class OnTerminal:
    """Alice's client, as `Terminal` starts it."""

    def __init__(self, person: Person) -> None:
        self.folder = person.folder
        self._home = person.client

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "fsclient", "--home", str(self._home), *args]

    def environment(self, **env: str) -> dict[str, str]:
        return environment(env)


# --- logins at the same moment


def by_secret(alice: Person) -> tuple[str | Path, ...]:
    return "--otp-secret-file", secret_file(alice, alice.added["otpauth_uri"].encode())


def by_wrong_secret(alice: Person) -> tuple[str | Path, ...]:
    uri = b"otpauth://totp/x?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&period=15"
    return "--otp-secret-file", secret_file(alice, uri)


def secret_file(alice: Person, uri: bytes) -> Path:
    file = alice.write("secret", uri)
    file.chmod(0o600)
    return file


def by_code(alice: Person) -> tuple[str | Path, ...]:
    return "--otp", alice.app.fresh()


def by_wrong_code(_: Person) -> tuple[str | Path, ...]:
    return "--otp", "000000"


def started_together(world: World, *options: str | Path) -> list[Ran]:
    """Run commands that all wait for a login of their profile at the same moment."""
    (world.alice.profile / "session").unlink()
    unused_codes(world)
    with (world.alice.profile / "login.lock").open("w") as file:
        lock(file.fileno())
        processes = [world.alice.start(*options, "ls") for _ in range(TOGETHER)]
        pids = {process.pid for process in processes}
        until(lambda: pids <= waiting_for_locks(), "all wait for the login")
    with ThreadPoolExecutor(TOGETHER) as threads:
        return list(threads.map(finish, processes))


def waiting_for_locks() -> set[int]:
    lines = Path("/proc/locks").read_text().splitlines()
    return {int(line.split()[5]) for line in lines if line.split()[1] == "->"}


def events(world: World, event: str) -> int:
    with world.database() as database:
        rows = database.execute("SELECT count(*) FROM audit_entries WHERE event = ?", (event,))
        return int(rows.fetchone()[0])


@pytest.mark.parametrize("source", [by_secret, by_code])
def test_commands_started_together_share_one_login(
    world: World, source: Callable[[Person], tuple[str | Path, ...]]
) -> None:
    with world.process():
        before = events(world, "login")
        for ran in started_together(world, *source(world.alice)):
            ran.succeeds()
        assert events(world, "login") == before + 1
        assert events(world, "login-refused") == 0


@pytest.mark.parametrize(("source", "codes"), [(by_wrong_secret, 2), (by_wrong_code, 1)])
def test_commands_started_together_share_one_refusal(
    world: World, source: Callable[[Person], tuple[str | Path, ...]], codes: int
) -> None:
    with world.process():
        for ran in started_together(world, *source(world.alice)):
            ran.fails(LOGIN)
        assert events(world, "login-refused") == codes


def test_after_a_refusal_the_next_command_tries_again(world: World, liar: HostileServer) -> None:
    (world.alice.profile / "session").unlink()
    world.alice.run("--otp", "000000", "ls").fails(LOGIN)
    world.alice.run("--otp", world.alice.app.fresh(), "ls").succeeds()


def test_ctrl_c_is_the_documented_end_of_a_gateway(world: World, liar: HostileServer) -> None:
    process = world.alice.start("gateway", "--listen", "127.0.0.1:0")
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"fsclient gateway ready")
    process.send_signal(signal.SIGINT)
    ran = finish(process)
    assert (ran.status, "Interrupted" in ran.err) == (0, False), ran.err
