"""The agent as people use it: a passphrase is typed once, and all else is as without an agent."""

from __future__ import annotations

import contextlib
import copy
import os
import select
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fsclient.agent.messages import Found, packed
from fsclient.profile import Profile
from fsproto.keys.key_file import open_identity, seal_identity
from tests.support.agents import agent, says
from tests.support.client_processes import (
    CONFLICT,
    LOGIN,
    NOT_ALLOWED,
    UNREACHABLE,
    USAGE,
    Client,
    Ran,
    Terminal,
)

PHRASE = "correct horse"
QUESTION = "Passphrase of your identity: "


@pytest.fixture(scope="module")
def _enrolled_with_passphrase(newcomer) -> Client:
    one: Client = newcomer()
    one.run("enroll", one.link, "--otp", one.app.fresh(), FSCLIENT_PASSPHRASE=PHRASE).ok()
    return one


class Person:
    """A client with a passphrase, and a folder for sockets of its user's own."""

    def __init__(self, client: Client, runtime: Path) -> None:
        self.client = client
        self.runtime = runtime
        self.socket = runtime / "fsclient" / "agent.sock"

    def run(self, *args: str, **env: str) -> Ran:
        place: dict[str, Any] = {"XDG_RUNTIME_DIR": str(self.runtime)}
        return self.client.run(*args, **(place | env))

    def terminal(self, *args: str, **env: str) -> Terminal:
        place: dict[str, Any] = {"XDG_RUNTIME_DIR": str(self.runtime)}
        return Terminal(self.client, *args, **(place | env))

    def types(self, *args: str, phrase: str = PHRASE) -> None:
        """Run a command on a terminal, which asks for the passphrase once and ends well."""
        with self.terminal(*args) as terminal:
            terminal.wait_for(QUESTION)
            terminal.type(f"{phrase}\r")
            assert terminal.ends() == 0, terminal.shown

    def start(self, *args: str) -> int:
        """Start the agent; return its process."""
        pid: int = self.run("--json", "agent", "start", *args).ok().json()["pid"]
        return pid

    def keys(self) -> list[str]:
        """Return the files of which the agent keeps keys."""
        status = self.run("--json", "agent", "status").ok().json()
        assert status["running"]
        return [one["file"] for one in status["keys"]]


@pytest.fixture
def person(_enrolled_with_passphrase, tmp_path) -> Iterator[Person]:
    client = copy.copy(_enrolled_with_passphrase)
    client.folder = tmp_path / "work"
    runtime = tmp_path / "run"
    for folder in (client.folder, runtime):
        folder.mkdir(0o700)
    one = Person(client, runtime)
    yield one
    one.run("agent", "stop").ok()
    assert list(runtime.iterdir()) == []


def has_ended(pid: int) -> bool:
    """Wait until a process has ended; false after some seconds."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 15)[0])
    finally:
        os.close(process)


def test_a_passphrase_is_typed_once_and_lasts_until_it_is_locked(person):
    person.start()
    assert person.keys() == []
    person.run("whoami").fails(LOGIN, "fsclient agent")
    person.types("whoami")
    assert person.keys() == [str(person.client.profile / "identity.key")]
    for command in ("whoami", "ls", "status"):
        person.run(command).ok()
    assert person.run("agent", "lock").ok().text == "The agent has wiped all keys.\n"
    assert person.keys() == []
    person.run("whoami").fails(LOGIN, "fsclient agent")


def test_without_an_agent_nothing_is_kept(person):
    person.types("whoami")
    person.run("whoami").fails(LOGIN, "FSCLIENT_PASSPHRASE")
    assert person.run("agent", "status").ok().text == "No agent is running.\n"
    assert list(person.runtime.iterdir()) == []


def test_a_wrong_passphrase_is_not_kept(person):
    person.start()
    with person.terminal("whoami") as terminal:
        for _ in range(3):
            terminal.wait_for(QUESTION)
            terminal.type("wrong\r")
        assert terminal.ends() == LOGIN
    assert person.keys() == []


def test_the_agent_leaves_its_terminal_and_keeps_nothing_of_its_caller_open(person):
    pid = person.start()
    process = Path(f"/proc/{pid}")
    assert os.getsid(pid) == pid
    assert process.joinpath("cwd").readlink() == Path("/")
    opened = {fd.name: str(fd.readlink()) for fd in (process / "fd").iterdir()}
    assert [opened[name] for name in "012"] == ["/dev/null"] * 3
    others = sorted({name.split(":")[0] for number, name in opened.items() if int(number) > 2})
    assert others == [str(person.runtime / "fsclient"), "anon_inode", "pipe", "socket"]
    terminal = process.joinpath("stat").read_text().rpartition(")")[2].split()[4]
    assert terminal == "0"
    limits = process.joinpath("limits").read_text()
    assert next(line for line in limits.splitlines() if "core" in line).split()[4:6] == ["0", "0"]


def test_a_pipe_that_reads_the_start_is_not_held_open(person):
    person.run("agent", "start").ok()  # returns: nothing holds its output open
    script = "fsclient agent start 3>&1 | cat; fsclient agent stop | cat"
    done = person.client.shell_line(script, XDG_RUNTIME_DIR=str(person.runtime)).ok()
    assert done.text.endswith("The agent has ended.\n")


@pytest.mark.cases(1)
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_it_starts_with_standard_streams_closed(person, closed):
    script = f"fsclient --quiet agent start {closed}"
    person.client.shell_line(script, XDG_RUNTIME_DIR=str(person.runtime))
    assert person.keys() == []


def test_the_folder_and_the_socket_are_the_users_alone(person):
    person.start()
    assert stat.S_IMODE(person.socket.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(person.socket.stat().st_mode) == 0o600


def test_to_start_it_again_changes_nothing(person):
    pid = person.start("--for", "2h")
    again = person.run("agent", "start", "--for", "3h").ok()
    assert f"process {pid}," in again.text
    assert "keeps   a key for 2:00 h" in again.text
    assert "It keeps a key for 2:00 h" in again.err
    assert "It keeps" not in person.run("agent", "start").ok().err
    person.run("agent", "start", "--foreground").fails(CONFLICT, "fsclient agent stop")


def test_of_many_starts_at_once_one_agent_remains(person):
    env = {"XDG_RUNTIME_DIR": str(person.runtime)}
    starts = [person.client.start("--json", "agent", "start", **env) for _ in range(4)]
    outs = [process.communicate()[0] for process in starts]
    assert [process.returncode for process in starts] == [0] * 4
    assert len(set(outs)) == 1


@pytest.mark.cases(3)
@pytest.mark.parametrize("time_", ["0", "59s", "8d", "soon", "-1h", "2026-11-28", ""])
def test_a_time_beyond_the_limits_is_refused(person, time_):
    person.run("agent", "start", "--for", time_).fails(USAGE, "from 1 minute to 7 days")


def test_stopping_and_locking_without_an_agent_is_no_error(person):
    for command in ("stop", "lock", "status"):
        assert person.run("agent", command).ok().text == "No agent is running.\n"
        assert person.run("--json", "agent", command).ok().json() == {"running": False}


def test_after_a_kill_it_starts_again(person):
    pid = person.start()
    person.types("whoami")
    os.kill(pid, signal.SIGKILL)
    assert has_ended(pid)
    assert person.socket.exists()
    assert person.run("agent", "status").ok().text == "No agent is running.\n"
    person.run("whoami").fails(LOGIN, "fsclient agent")
    assert person.start() != pid
    assert person.keys() == []


def test_a_killed_agents_socket_is_removed_by_stop(person):
    pid = person.start()
    os.kill(pid, signal.SIGKILL)
    assert has_ended(pid)
    person.run("agent", "stop").ok()
    assert list(person.runtime.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_leaves_nothing(person, number):
    pid = person.start()
    os.kill(pid, number)
    assert has_ended(pid)
    assert list(person.runtime.iterdir()) == []


def test_a_hangup_locks_it(person):
    pid = person.start()
    person.types("whoami")
    os.kill(pid, signal.SIGHUP)
    assert person.keys() == []


def test_it_ends_when_its_socket_is_removed(person):
    """As at the end of the last login, when the system removes the folder for sockets."""
    pid = person.start()
    person.socket.unlink()
    person.socket.parent.rmdir()
    assert has_ended(pid)


def test_it_runs_in_the_foreground_for_a_service(person):
    with person.terminal("agent", "start", "--foreground", "--for", "30m") as terminal:
        terminal.wait_for("keeps   a key for 30:00 min")
        person.types("whoami")
        person.run("whoami").ok()
        terminal.type("\x03")
        assert terminal.ends() == 0
    assert list(person.runtime.iterdir()) == []


def test_one_that_hangs_stops_no_command(person):
    pid = person.start()
    person.types("whoami")
    os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        person.types("whoami")
        assert time.monotonic() - started < 20
        for command in ("status", "lock", "start"):
            failed = person.run("agent", command).fails(UNREACHABLE, f"'kill {pid}'")
            assert failed.complaints == [f"The agent (process {pid}) does not answer."]
    finally:
        os.kill(pid, signal.SIGCONT)


def test_clients_that_say_nothing_keep_nobody_waiting(person):
    person.start()
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            silent = stack.enter_context(socket.socket(socket.AF_UNIX))
            silent.connect(str(person.socket))
        assert person.keys() == []


@pytest.mark.cases(2)
@pytest.mark.parametrize("data", [b"", b"\0", b"GET / HTTP/1.0\r\n\r\n", b"FSAGENT1" + b"\xff" * 4])
def test_malformed_requests_end_their_connection_alone(person, data):
    person.start()
    person.types("whoami")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(person.socket))
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""
    assert len(person.keys()) == 1


def test_a_wrong_key_of_an_agent_leads_to_the_question(person, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(person.runtime))
    wrong = bytes(packed(Found(memoryview(b"k" * 32))))
    with agent(person.client.home, says(wrong)):
        person.types("whoami")
        person.run("whoami").fails(LOGIN, "no terminal to ask for it")


def test_something_else_at_its_place_is_named_and_left(person):
    person.socket.parent.mkdir(0o700)
    person.socket.write_bytes(b"precious")
    person.run("agent", "start").fails(CONFLICT, f"'{person.socket}' is no socket.")
    person.types("whoami")
    assert person.socket.read_bytes() == b"precious"
    person.socket.unlink()
    person.socket.parent.chmod(0o755)
    person.run("agent", "start").fails(NOT_ALLOWED, "not yours alone", "0700")
    person.types("whoami")
    person.socket.parent.rmdir()


@pytest.mark.skipif(
    Path(f"/run/user/{os.geteuid()}").exists(), reason="it would stop the agent of this user"
)
def test_without_a_folder_for_sockets_it_is_in_the_clients_folder(person):
    far = person.client.folder / ("x" * 200)
    for runtime in ("", "relative", str(far)):
        done = person.run("--json", "agent", "start", XDG_RUNTIME_DIR=runtime).ok().json()
        assert done["socket"] == str(person.client.home / "agent" / "agent.sock")
        person.run("agent", "stop", XDG_RUNTIME_DIR=runtime).ok()
    assert not (person.client.home / "agent").exists()


# --- commands that ask all the same


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    "command",
    [
        ["keys", "export", "out.keys"],
        ["keys", "backup"],
        ["keys", "passphrase", "--no-passphrase"],
        ["keys", "rotate"],
    ],
    ids=lambda words: words[1],
)
def test_what_copies_or_replaces_the_keys_asks_all_the_same(person, command):
    person.start()
    person.types("whoami")
    before = (person.client.profile / "identity.key").read_bytes()
    person.run(*command, FSCLIENT_EXPORT_PASSPHRASE="x").fails(LOGIN, "identity has a passphrase")
    assert (person.client.profile / "identity.key").read_bytes() == before
    assert list(person.client.folder.iterdir()) == []


def test_a_passphrase_that_was_typed_for_such_a_command_is_kept_too(person):
    person.start()
    with person.terminal("keys", "export", "out.keys", FSCLIENT_EXPORT_PASSPHRASE="x") as terminal:
        terminal.wait_for(QUESTION)
        terminal.type(f"{PHRASE}\r")
        assert terminal.ends() == 0
    person.run("whoami").ok()


def test_a_shell_that_the_agent_has_opened_asks_once_before_it_copies_the_keys(person):
    person.start()
    person.types("whoami")
    with person.terminal("shell", FSCLIENT_EXPORT_PASSPHRASE="of the file") as terminal:
        terminal.wait_for(f"{person.client.name}>")
        terminal.type("keys export one.keys\r")
        terminal.wait_for(QUESTION)
        terminal.type(f"{PHRASE}\r")
        terminal.wait_for(f"{person.client.name}>")
        terminal.type("keys export two.keys\r")
        terminal.wait_for(f"{person.client.name}>")
        terminal.type("EXIT\r")
        assert terminal.ends() == 0
        assert terminal.shown.count(QUESTION) == 1
    assert sorted(path.name for path in person.client.folder.iterdir()) == ["one.keys", "two.keys"]


def test_an_interrupted_rotation_asks_because_the_next_keys_have_another_key(person):
    person.start()
    person.types("whoami")
    profile = Profile(person.client.home, "default")
    identity = open_identity(profile.keyfile(), PHRASE)
    profile.keep_next_keyfile(seal_identity(identity, PHRASE, os.urandom))
    person.run("ls").fails(LOGIN, "identity has a passphrase")
    person.types("ls")
    assert profile.next_keyfile() is None
    person.types("ls")
    person.run("ls").ok()


def test_another_passphrase_ends_the_key_of_the_former_one(person):
    person.start()
    person.types("whoami")
    new = {"FSCLIENT_PASSPHRASE": PHRASE, "FSCLIENT_NEW_PASSPHRASE": "another"}
    person.run("keys", "passphrase", **new).ok()
    try:
        assert person.keys() == []
        person.run("whoami").fails(LOGIN, "fsclient agent")
        person.types("whoami", phrase="another")
        person.run("whoami").ok()
    finally:
        back = {"FSCLIENT_PASSPHRASE": "another", "FSCLIENT_NEW_PASSPHRASE": PHRASE}
        person.run("keys", "passphrase", **back).ok()


def test_another_identity_file_ends_the_key_of_the_former_one(person):
    """A file that is put back from a copy, or arrives from another machine."""
    person.start()
    person.types("whoami")
    keyfile = person.client.profile / "identity.key"
    before = keyfile.read_bytes()
    new = {"FSCLIENT_PASSPHRASE": PHRASE, "FSCLIENT_NEW_PASSPHRASE": PHRASE}
    person.run("keys", "passphrase", **new, XDG_RUNTIME_DIR="/nowhere").ok()
    try:
        person.run("whoami").fails(LOGIN, "fsclient agent")
        assert person.keys() == []
    finally:
        keyfile.write_bytes(before)


def test_the_shell_does_not_start_an_agent_in_its_own_memory(person):
    done = person.client.run("shell", given=b"agent start\n", FSCLIENT_PASSPHRASE=PHRASE)
    done.fails(USAGE, "'agent' cannot be used inside the shell.")
