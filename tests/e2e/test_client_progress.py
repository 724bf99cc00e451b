"""The display of a running transfer for people, and the lines for other programs."""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO, Self

import pytest

from tests.support.client_processes import INTERRUPTED, NOT_FOUND, Client, Terminal, finish
from tests.support.fixed_keys import stretch

MIB = 1 << 20
CTRL_C = "\x03"
BAR = "━"
ERASED = re.compile(rb"\r(?:\x1b\[2K|\x1b\[1A)+")
PIECE = stretch("piece", MIB)


@contextlib.contextmanager
def fed(client: Client, *args: str, term: str = "xterm") -> Iterator[tuple[Terminal, BinaryIO]]:
    """Yield a client on a terminal, and the write end of its standard input."""
    out, into = os.pipe()
    with os.fdopen(into, "wb", buffering=0) as pipe:
        try:
            screen = Terminal(client, *args, stdin=out, TERM=term)
        finally:
            os.close(out)
        with screen:
            yield screen, pipe


def last_lines(screen: Terminal) -> str:
    """Return the text that is still visible below the erased bars."""
    return ERASED.split(screen.raw)[-1].decode()


class Valve:
    """A proxy that passes a number of bytes in each direction, and the rest when it is opened."""

    def __init__(self, client: Client, passes: int) -> None:
        self._upstream = client.server.address
        self._passes = passes
        self.opened = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        self.client = copy.copy(client)
        self.client.home = client.folder / "valve"
        shutil.copytree(client.home, self.client.home, dirs_exist_ok=True)
        facts = self.client.profile / "profile.json"
        port = self._listener.getsockname()[1]
        facts.write_text(json.dumps(json.loads(facts.read_text()) | {"port": port}))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.opened.set()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            server = socket.create_connection((self._upstream.host, self._upstream.port))
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if passed > self._passes:
                    self.opened.wait()
                target.sendall(data)
                passed += len(data)
            target.shutdown(socket.SHUT_WR)


# --- bars


def test_what_comes_slowly_is_shown_as_it_comes_and_goes_in_the_end(client):
    with fed(client, "put", "-", f"{client.room}/dump") as (screen, pipe):
        moved = 0.0
        for _ in range(3):
            for _ in range(8):
                pipe.write(PIECE)
            before = moved
            while moved <= before:
                screen.wait_for(" MB")
                moved = float(re.findall(r"/dump +([\d.]+) MB", screen.shown)[-1])
        pipe.close()
        screen.wait_for(f"put 1 file and 1 folder, 25.2 MB, as {client.room}/dump")
        assert screen.ends() == 0
    assert last_lines(screen).startswith("put 1 file and 1 folder, 25.2 MB")
    assert BAR not in screen.shown  # the size was not known


def test_a_large_file_has_a_bar_and_all_together_have_one_with_rate_and_time_left(client):
    client.write("tree/a", b"a")
    client.write("tree/large", PIECE * 50)
    valve = Valve(client, 10 * MIB)
    with valve, Terminal(valve.client, "put", "tree", f"{client.room}/") as screen:
        screen.wait_for(f"{client.room}/tree/large  ")
        screen.wait_for(BAR)
        screen.wait_for("\n0 of 2 files ")
        screen.wait_for(BAR)
        screen.wait_for("/s")
        screen.wait_for(" left")
        valve.opened.set()
        screen.wait_for("put 2 files and 2 folders, 52.4 MB, into")
        assert screen.ends() == 0
    assert BAR not in last_lines(screen)


def test_what_is_got_is_shown_as_well(client):
    client.write("large", PIECE * 50)
    client.quick("put", "large", f"{client.room}/").ok()
    valve = Valve(client, 10 * MIB)
    with valve, Terminal(valve.client, "get", f"{client.room}/large", "back") as screen:
        screen.wait_for(f"{client.room}/large  ")
        screen.wait_for(BAR)
        screen.wait_for(" left")
        valve.opened.set()
        screen.wait_for("got 1 file, 52.4 MB, as back")
        assert screen.ends() == 0
    assert BAR not in last_lines(screen)


def test_a_short_transfer_draws_nothing(client):
    client.write("a", b"a")
    for number in range(10):  # on a loaded machine even this transfer may take long
        target, started = f"{client.room}-{number}/", time.monotonic()
        with Terminal(client, "put", "a", target) as screen:
            assert screen.ends() == 0
        took_s = time.monotonic() - started
        if screen.raw == f"put 1 file and 1 folder, 1 B, into {target}\r\n".encode():
            return
        assert took_s > 0.4, screen.raw
    pytest.skip("no transfer is short on this machine while others use it so much")


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("term", "how"),
    [
        ("xterm", ["--progress", "none"]),
        ("xterm", ["--quiet"]),
        ("xterm", ["--json"]),
        ("dumb", []),
        ("dumb", ["--progress", "bar"]),
    ],
)
def test_bars_are_shown_only_if_wanted(client, term, how):
    with fed(client, "put", "-", f"{client.room}/x", *how, term=term) as (screen, pipe):
        for _ in range(40):
            pipe.write(PIECE)
        pipe.close()
        assert screen.ends() == 0
    assert b"\x1b" not in screen.raw
    assert len(screen.raw.splitlines()) == (how != ["--quiet"])


def test_ctrl_c_takes_the_bars_away_and_leaves_the_terminal_as_it_was(client):
    with fed(client, "put", "-", f"{client.room}/x") as (screen, pipe):
        pipe.write(PIECE * 3)
        screen.wait_for("/s")
        screen.insist(CTRL_C, "Interrupted")
        assert screen.ends() == INTERRUPTED
    assert last_lines(screen) == "fsclient: Interrupted; nothing half-done was left in place.\r\n"
    assert b"\x1b[?25l" not in screen.raw


def test_sigterm_takes_the_bars_away_too(client):
    with fed(client, "put", "-", f"{client.room}/x") as (screen, pipe):
        pipe.write(PIECE * 3)
        screen.wait_for("/s")
        screen.process.terminate()
        assert screen.ends() == 128 + signal.SIGTERM
    assert last_lines(screen) == ""
    assert b"\x1b[?25l" not in screen.raw


def test_what_is_said_meanwhile_stands_on_lines_of_its_own(client):
    client.write("large", PIECE * 50)
    client.write("tree/a", b"a")
    os.mkfifo(client.folder / "tree/pipe")
    warning = "fsclient: Left out 'tree/pipe': it is a special file.\n"
    valve = Valve(client, 10 * MIB)
    with valve, Terminal(valve.client, "put", "large", "tree", f"{client.room}/") as screen:
        screen.wait_for("0 of 2 files")
        valve.opened.set()
        screen.wait_for(warning)
        assert screen.ends() == 0
    assert any(said.startswith(warning[:-1].encode()) for said in ERASED.split(screen.raw))


# --- lines


CONTROL = re.compile(r"[^\n -~éд日]")


def test_plain_lines_are_plain(client):
    client.write("tree/é", PIECE * 9)
    client.write("tree/small", b"small")
    done = client.quick("put", "tree", f"{client.room}/", "--progress", "plain").ok()
    (large, last) = done.err.splitlines()
    assert large.startswith(f"{client.room}/tree/é, 9.4 MB")
    assert last.startswith("put 2 files and 2 folders, 9.4 MB, into")
    done = client.quick("get", f"{client.room}/tree", "back", "--progress", "plain").ok()
    assert done.err.startswith(f"{client.room}/tree/é, 9.4 MB")
    assert not CONTROL.search(done.err)
    assert done.out == b""


def test_without_a_terminal_only_the_totals_are_shown(client):
    client.write("large", PIECE * 60)
    for how in ([], ["--progress", "auto"], ["--progress", "bar"], ["--progress", "none"]):
        done = client.quick("put", "large", f"{client.room}/", *how).ok()
        assert done.err.count("\n") == 1
        assert not CONTROL.search(done.err)
    client.quick("rm", "-r", client.room).ok()


@pytest.mark.parametrize("how", [["--json", "--progress", "plain"], ["--progress", "json"]])
def test_lines_of_json_come_while_it_lasts_and_only_grow(client, how):
    process = client.start("put", "-", f"{client.room}/dump", *how, piped=True)
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(PIECE * 9)
    process.stdin.flush()
    events = [json.loads(process.stderr.readline())]
    assert events[0]["bytes"] > 0
    done = finish(process, PIECE * 9).ok()
    total = 18 * MIB
    lines = done.err.splitlines()
    events += [json.loads(line) for line in lines if line.startswith("{")]
    progress = [event for event in events if event["event"] == "progress"]
    assert len(progress) >= 2
    for one, next_ in itertools.pairwise(progress):
        assert all(one[name] <= next_[name] for name in ("files", "bytes", "seconds"))
    assert progress[-1] == {
        "event": "progress",
        "files": 1,
        "files_expected": 1,
        "bytes": total,
        "bytes_expected": None,
        "seconds": progress[-1]["seconds"],
    }
    (file,) = (event for event in events if event["event"] == "file")
    assert (file["path"], file["bytes"]) == (f"{client.room}/dump", total)
    if "--json" in how:
        assert len(lines) + 1 == len(events)
        totals = done.json()
        assert (totals["files"], totals["folders"], totals["bytes"]) == (1, 1, total)
        assert totals["seconds"] == progress[-1]["seconds"]
        assert totals["bytes_per_second"] == pytest.approx(total / totals["seconds"], rel=0.01)
    else:
        assert done.out == b""
        assert lines[-1].startswith("put 1 file and 1 folder, 18.9 MB")


def test_content_on_standard_output_comes_without_progress(client):
    client.write("large", PIECE * 9)
    client.quick("put", "large", f"{client.room}/").ok()
    done = client.quick("get", f"{client.room}/large", "-", "--progress", "plain").ok()
    assert (done.out, done.err) == (PIECE * 9, "")


def test_a_failure_is_reported_next_to_the_lines(client):
    done = client.quick("--json", "get", "no", "--progress", "plain").fails(NOT_FOUND)
    (last,) = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    assert (last["event"], last["files"], last["bytes"]) == ("progress", 0, 0)
