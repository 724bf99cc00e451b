"""`fsclient watch`: a process prints what happens at an account, and waits out what is wrong."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_ssh_drops import sftp
from tests.support.client_processes import Client, admin
from tests.support.programs import start_program
from tests.support.ssh_servers import SshServer, Visitor, new_key
from tests.support.world import until


@pytest.fixture
def door(tmp_path: Path) -> Iterator[SshServer]:
    door = SshServer.start(tmp_path / "fsd", "--set", "drop_box=true")
    with door.server:
        yield door


@pytest.fixture
def alice(door: SshServer, tmp_path: Path) -> Client:
    return Client(door.server, "alice", tmp_path / "alice").enrol()


class Events:
    """A running `fsclient watch`, whose output goes to two files."""

    def __init__(self, client: Client, *args: str) -> None:
        self._out, self._err = client.folder / "watch.out", client.folder / "watch.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = start_program(
                client.command("watch", *args),
                env=client.environment(),
                cwd=client.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def found(self, kind: str) -> list[dict[str, Any]]:
        told = [json.loads(line) for line in self.out.splitlines(keepends=True) if "\n" in line]
        return [one for one in told if one["event"] == kind]

    def until(self, condition: Callable[[], object], what: str) -> None:
        def holds() -> object:
            assert self.process.poll() is None, (self.out, self.err)
            return condition()

        until(holds, what)

    def wait_for(self, kind: str) -> dict[str, Any]:
        """Wait for the first event of a kind."""
        self.until(lambda: self.found(kind), f"there is an event {kind}")
        return self.found(kind)[0]


@contextmanager
def watching(client: Client, *args: str) -> Iterator[Events]:
    events = Events(client, *args)
    try:
        events.until(lambda: "watching" in events.out, "it watches")
        yield events
    finally:
        if events.process.poll() is None:
            events.process.kill()
        events.process.wait()


@pytest.mark.long
def test_what_happens_at_an_account_is_printed_and_what_was_there_is_not(door, alice, tmp_path):
    bob = Visitor.enrolled(door.server, "bob", tmp_path / "bob")
    key = tmp_path / "scanner"
    key.mkdir()
    new_key(key)
    admin(door.server, "add-drop-key", "bob", str(key / "ssh_key.pub"))
    for name in ("old", "new"):
        alice.write(name, b"x")
        alice.run("put", name, name).ok()
    alice.run("share", "old", "bob", "--yes").ok()
    (key / "page.pdf").write_bytes(b"%PDF")
    assert sftp(door, bob, key / "ssh_key", "put page.pdf before.pdf").returncode == 0
    with watching(bob.client, "--json") as events:
        bob.client.write("f", b"x")
        bob.client.run("put", "f").ok()
        assert events.wait_for("changed")["path"] == "/"
        assert sftp(door, bob, key / "ssh_key", "put page.pdf").returncode == 0
        drop = events.wait_for("drop")
        assert (drop["name"], drop["size"], drop["refused"]) == ("page.pdf", 4, None)
        alice.run("share", "new", "bob", "--yes").ok()
        share = events.wait_for("share")
        assert (share["owner"], share["kind"], share["role"]) == ("alice", "file", "reader")
        assert share["path"] == "alice:new"
        shutil.copytree(bob.client.home, tmp_path / "other")
        bob.client.run("login", "--otp", bob.code(), FSCLIENT_HOME=str(tmp_path / "other")).ok()
        session = events.wait_for("session")
        assert (session["address"], session["this"]) == ("127.0.0.1", False)
        counts = [len(events.found(kind)) for kind in ("watching", "drop", "share", "session")]
        assert counts == [1, 1, 1, 1]
        assert "Traceback" not in events.err


def test_a_watch_waits_for_the_server_and_tells_what_it_missed(door, alice):
    alice.run("mkdir", "a").ok()
    with watching(alice, "a") as events:
        door.server.stop()
        events.until(lambda: "waits until the server" in events.err, "it says that it waits")
        with door.server.restart():
            events.until(lambda: "The watch continues" in events.err, "it goes on")
            alice.write("f", b"x")
            alice.run("put", "f", "a/f").ok()
            events.until(lambda: "changed" in events.out, "the change is printed")
            assert events.err.count("waits until the server") == 1


def test_a_watch_says_once_that_its_session_has_ended_and_goes_on_with_the_next(alice):
    with watching(alice, "--json") as events:
        alice.run("logout", "--everywhere").ok()
        events.until(lambda: "waits for a new session" in events.err, "it says that it waits")
        alice.run("login", "--otp", alice.app.fresh()).ok()
        assert events.wait_for("session")["door"] == "native"
        assert events.err.count("waits for a new session") == 1


def test_ctrl_c_and_a_closed_pipe_end_a_watch_quietly(alice):
    with watching(alice) as events:
        events.process.send_signal(signal.SIGINT)
        assert events.process.wait(60) == 0
        assert events.err == ""
    process = alice.start("watch", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    assert b"watching" in process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_folder_that_is_none_is_refused(alice):
    alice.run("watch", "missing").fails(5, "missing")
    alice.write("f", b"x")
    alice.run("put", "f").ok()
    alice.run("watch", "f").fails(5, "file")
