"""Whatever answers at the agent's socket, a command behaves as without an agent."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from fsclient.agent.client import WAIT_S, AgentKey, NoAgentError, ask
from fsclient.agent.messages import MAGIC, Answer, Done, Find, Found, Show, State, packed
from fsclient.agent.place import SOCKET, agent_folder
from fsclient.profile import Profile
from fsclient.session.passphrase import Passphrase
from fsclient.ui import Ui
from fskit.unix_sockets import PrivateFolder
from fsproto.errors import FsError, NotAllowedError, Unreachable
from fsproto.keys.key_file import key_of, seal_identity
from tests.support.agents import Answering, agent, says
from tests.support.fixed_keys import Seeded, person

ANOTHER = 4242
"""The number of another user."""
PHRASE = "correct horse"
KEYFILE = seal_identity(person("alice"), PHRASE, Seeded("agents"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A client's folder, on a system whose folder for sockets is the test's."""
    runtime = tmp_path / "run"
    runtime.mkdir(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    return tmp_path / "home"


def says_nothing(connection: socket.socket) -> None:
    while connection.recv(1 << 16):
        continue


def drips(connection: socket.socket) -> None:
    for byte in packed(Found(memoryview(bytes(32)))):
        connection.sendall(bytes([byte]))
        time.sleep(0.1)  # the fault itself: an agent that is slow for ever


def never_stops(connection: socket.socket) -> None:
    while True:
        connection.sendall(MAGIC + bytes(1 << 16))


HOSTILE: dict[str, Answering] = {
    "closes": lambda connection: connection.close(),
    "closes after the request": says(b""),
    "garbage": says(os.urandom(500)),
    "text": says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "another version": says(bytes(packed(Found(None))).replace(b"FSAGENT1", b"FSAGENT2")),
    "too long": says(MAGIC + b"\xff\xff\xff\xff"),
    "cut": says(bytes(packed(Found(memoryview(bytes(32)))))[:-1]),
    "no message": says(MAGIC + b"\0\0\0\x01\xc1"),
    "nested": says(MAGIC + b"\0\0\x10\0" + b"\x91" * 4096),
    "a short key": says(bytes(packed(Found(memoryview(b"short"))))),
    "a long key": says(bytes(packed(Found(memoryview(bytes(64)))))),
    "an empty key": says(bytes(packed(Found(memoryview(b""))))),
    "another answer": says(bytes(packed(State(1, 1, [])))),
    "no key": says(bytes(packed(Found(None)))),
    "done": says(bytes(packed(Done()))),
    "never stops": never_stops,
    "drips": drips,
    "silent": says_nothing,
}


def key_at(home: Path) -> AgentKey:
    return AgentKey(home, home / "identity.key", KEYFILE)


@pytest.mark.cases(6)
@pytest.mark.parametrize("how", HOSTILE)
def test_an_agent_without_a_usable_answer_is_no_agent(home, how):
    with agent(home, HOSTILE[how]):
        started = time.monotonic()
        key = key_at(home)
        assert key.find() is None
        key.keep(bytes(32))
        key.forget()
        assert time.monotonic() - started < 3 * WAIT_S + 20


@pytest.mark.cases(5)
@pytest.mark.parametrize("how", sorted(HOSTILE.keys() - {"no key", "done", "another answer"}))
def test_a_command_about_the_agent_names_its_process(home, how):
    with agent(home, HOSTILE[how]), pytest.raises(Unreachable, match="does not answer") as failed:
        ask(home, Find(b"/x", bytes(32)))
    assert f"(process {os.getpid()})" in failed.value.sentence
    assert failed.value.hint == f"End it with 'kill {os.getpid()}'."


def test_the_right_key_opens_the_identity_and_no_question_is_asked(home):
    right = key_of(KEYFILE, PHRASE)
    with agent(home, says(bytes(packed(Found(memoryview(right)))))):
        profile = Profile(home, "default")
        opened = Passphrase(None, none=False).unlock(Ui(asks=False), KEYFILE, profile)
        assert opened.by_agent
        assert opened.passphrase is None
        with pytest.raises(FsError, match="no terminal"):
            Passphrase(None, none=False).unlock(Ui(asks=False), KEYFILE, profile, typed=True)
        given = Passphrase(PHRASE, none=False).unlock(Ui(asks=False), KEYFILE, profile)
        assert not given.by_agent


def test_a_passphrase_that_was_given_is_not_asked_of_an_agent(home):
    asked = []

    def answer(connection: socket.socket) -> None:
        asked.append(connection.recv(1 << 16))

    with agent(home, answer):
        profile = Profile(home, "default")
        Passphrase(PHRASE, none=False).unlock(Ui(asks=False), KEYFILE, profile)
    assert asked == []


def test_a_full_queue_is_waited_for_and_not_for_long(home):
    asked = Find(b"/x", bytes(32))
    with PrivateFolder.open(agent_folder(home), create=True) as folder, ExitStack() as stack:
        listener = stack.enter_context(folder.listen(SOCKET))
        listener.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                stack.enter_context(folder.connect(SOCKET, 1))
        with pytest.raises(Unreachable, match="does not answer"):
            ask(home, asked)
        answers: list[Answer] = []
        waiting = threading.Thread(target=lambda: answers.append(ask(home, asked)))
        waiting.start()
        while waiting.is_alive():
            if select.select([listener], [], [], 0.1)[0]:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(0.05)
                    says(bytes(packed(Found(None))))(connection)
        assert answers == [Found(None)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_an_agent_of_another_user_is_no_agent(home, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, ANOTHER, ANOTHER)
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        os.chdir(theirs)
        os.setresuid(ANOTHER, ANOTHER, ANOTHER)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(SOCKET)
        listener.listen()
        os.write(told, b"x")
        signal.pause()
    try:
        os.read(ready, 1)
        agent_folder(home).mkdir(0o700)
        (theirs / SOCKET).rename(agent_folder(home) / SOCKET)
        assert key_at(home).find() is None
        with pytest.raises(NotAllowedError, match="another user"):
            ask(home, Show())
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_without_an_agent_there_is_none(home):
    assert key_at(home).find() is None
    with pytest.raises(NoAgentError):
        ask(home, Show())
    assert not agent_folder(home).exists()
