"""Many logged-in clients that stop reading or sending: the memory of fsd stays bounded.

What waits for them is in a file, and a client whose data waits there loses none of it.

Known from: CWE-770; Slowloris; clients that do not read their answers.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fsd.policies import ListenerPolicy
from fsproto.limits import MAX_FETCH, MAX_ITEMS, MAX_LOGIN, RECORDS_AHEAD, SEGMENT_SIZE
from fsproto.messages.base import Done, Failure
from fsproto.messages.files import (
    Content,
    Download,
    Fetch,
    Lookup,
    Sent,
    Upload,
    UploadEnd,
)
from fsproto.messages.keylog import RotatePart
from fsproto.sealed import integrity
from fsproto.signed import Signed
from fsproto.types import NodeId, Root, Salt, Token
from fsproto.wire.connection import Control, Data
from tests.attacks.test_sessions import host_key
from tests.conftest import TIER
from tests.support import connection_pair
from tests.support.fixed_keys import stretch
from tests.support.hostile_server import HostileServer
from tests.support.raw_client import ANY_ROOM, RawClient
from tests.support.world import FILES, NOTES, World, until

MIB = 1 << 20
CLIENTS, IN_MEMORY_MIB, MOST_MIB = (900, 16, 64) if TIER == "soak" else (60, 1, 40)
"""Connections of one attack, memory for what waits, and the most that the attack may add.

Each connection would hold 1 to 4 MiB. In the short test, less is allowed for fewer connections."""
LONG = stretch("long", 6 * MIB)
"""Content that the socket buffers of both ends do not hold."""
NOWHERE = Lookup(NodeId(bytes(16)), [Token(bytes(32))] * 30_000)
"""A request of 1 MiB."""
DENSE = Fetch([Content(NodeId(b""), Root(b""))] * MAX_ITEMS)
"""A request that takes 12 times its size when it is decoded."""

PART = RotatePart([Signed(bytes(30), bytes(64))] * 9_000, [], [], [])
"""A part of a key rotation, of almost 1 MiB."""

Attack = Callable[[RawClient, Download], None]


def send_what_is_taken(raw: RawClient, data: bytes) -> bool:
    """Send until the server stops to receive; return whether it received everything."""
    raw.socket.settimeout(0.05)
    try:
        raw.socket.sendall(data)
    except TimeoutError:
        return False
    raw.socket.settimeout(30)
    return True


def does_not_read(raw: RawClient, ask: Download) -> None:
    raw.send(ask)


def stops_in_a_segment(raw: RawClient, ask: Download) -> None:
    request = raw.send(Upload(Salt(os.urandom(32)), resumable=False, room=ANY_ROOM))
    for index in (0, 1):
        record = connection_pair.segment(raw.connection, request, index, bytes(SEGMENT_SIZE))
        raw.socket.settimeout(30)
        raw.socket.sendall(record if index == 0 else record[:-1])


def announces_a_segment(raw: RawClient, ask: Download) -> None:
    record = connection_pair.segment(raw.connection, 2, 0, bytes(SEGMENT_SIZE))
    raw.socket.sendall(record[:5])


def asks_ahead(raw: RawClient, ask: Download) -> None:
    raw.send(ask)
    for _ in range(RECORDS_AHEAD + 2):
        if not send_what_is_taken(raw, raw.connection.send(7, NOWHERE)):
            return


def asks_much(raw: RawClient, ask: Download) -> None:
    send_what_is_taken(raw, raw.connection.send(7, DENSE))


def rotates_in_parts(raw: RawClient, ask: Download) -> None:
    for _ in range(3):
        assert raw.ask(PART) == Done()


ATTACKS = (
    *(does_not_read, stops_in_a_segment, announces_a_segment, asks_ahead, asks_much),
    rotates_in_parts,
)


def memory_mib(pid: int) -> float:
    """Return the memory that a process uses, in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / MIB


def is_steady(pid: int) -> bool:
    """Return whether a process's memory does not change for a moment."""
    before = memory_mib(pid)
    time.sleep(0.3)
    return abs(memory_mib(pid) - before) < 0.25


@pytest.mark.cases(1)
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_waits_for_slow_clients_is_not_held_in_memory(world: World, attack: Attack) -> None:
    options = {
        "person.connections": 2 * CLIENTS,
        "person.requests": 160,  # as twenty users have
        "upload.active": CLIENTS,
        "door.buffers_mib": IN_MEMORY_MIB,
    }
    given = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    with world.process(*given) as server, contextlib.ExitStack() as opened:
        world.alice.put("long", LONG).succeeds()
        body = world.alice.find("long").manifest.body
        assert body.content is not None
        ask, pid = Download(body.node, body.content.root, 0), server.process.pid
        idle = memory_mib(pid)
        raws = [RawClient.of(world.alice, server.address) for _ in range(CLIENTS)]
        for raw in raws:
            opened.enter_context(raw)
            attack(raw, ask)
        until(lambda: is_steady(pid), "all that can happen has happened")
        assert memory_mib(pid) - idle < MOST_MIB
        assert world.bob.cat("notes.txt") == FILES["bob"]["notes.txt"]
        opened.close()
        until(lambda: memory_mib(pid) - idle < MOST_MIB, "nothing is held afterwards")
        assert world.alice.cat("notes.txt") == NOTES


@pytest.mark.cases(1)
@pytest.mark.parametrize("requests", [None, 46], ids=["default", "as of six users"])
def test_small_files_that_are_not_read_take_little_memory(
    world: World, requests: int | None
) -> None:
    """As many connections as one user may have, each with a request for 500 small files."""
    given = [] if requests is None else ["--set", f"person.requests={requests}"]
    with world.process(*given) as server, contextlib.ExitStack() as opened:
        files = [world.alice.write(f"small-{at}", os.urandom(60_000)) for at in range(10)]
        world.alice.run("put", *files, "/").succeeds()
        bodies = [world.alice.find(file.name).manifest.body for file in files]
        wanted = [Content(one.node, one.content.root) for one in bodies if one.content is not None]
        ask = Fetch(wanted * (MAX_FETCH // len(wanted)))
        pid = server.process.pid
        idle = memory_mib(pid)
        for _ in range(46):
            opened.enter_context(RawClient.of(world.alice, server.address)).send(ask)
        until(lambda: is_steady(pid), "all that can happen has happened")
        assert memory_mib(pid) - idle < 40
        assert world.bob.cat("notes.txt") == FILES["bob"]["notes.txt"]


def test_before_the_login_no_more_is_held_than_a_login_may_have(world: World) -> None:
    with world.process() as server, contextlib.ExitStack() as opened:
        world.alice.run("ls").succeeds()
        idle = memory_mib(server.process.pid)
        for _ in range(60):
            raw = opened.enter_context(RawClient(server.address, host_key(world.alice)))
            login = raw.login(world.alice, ticket=bytes(MAX_LOGIN - 2000))
            raw.socket.sendall(raw.connection.send(1, login)[:-1])
        until(lambda: is_steady(server.process.pid), "all has arrived")
        assert memory_mib(server.process.pid) - idle < 20


# --- what waits in the file


@pytest.fixture
def on_disk(world: World) -> Iterator[HostileServer]:
    """A server that holds only small records in memory."""
    policy = ListenerPolicy(refusal_s=0.05, buffers_mib=0)
    with HostileServer(world.home, policy=policy) as server:
        world.meet(server.address)
        yield server


def test_a_transfer_goes_through_the_file_byte_by_byte(
    world: World, on_disk: HostileServer
) -> None:
    salt, content = Salt(os.urandom(32)), stretch("slow", 2 * SEGMENT_SIZE + 5000)
    with RawClient.of(world.alice, on_disk.address) as raw:
        request = raw.send(Upload(salt, resumable=False, room=ANY_ROOM))
        for index in range(3):
            piece = content[index * SEGMENT_SIZE : (index + 1) * SEGMENT_SIZE]
            record = connection_pair.segment(raw.connection, request, index, piece)
            for at in range(10):
                raw.socket.sendall(record[at : at + 1])
            for at in range(10, len(record), 200_001):
                raw.socket.sendall(record[at : at + 200_001])
        raw.send(UploadEnd(integrity.blob_root(salt, content), len(content)), request)
        assert raw.receive() == Control(request, Done())


def test_a_download_that_is_read_late_is_whole(world: World, on_disk: HostileServer) -> None:
    world.alice.put("long", LONG).succeeds()
    body = world.alice.find("long").manifest.body
    assert body.content is not None
    stored = world.blob(body.content.root).read_bytes()
    with RawClient.of(world.alice, on_disk.address) as raw:
        request = raw.send(Download(body.node, body.content.root, 0))
        asked = [raw.send(NOWHERE) for _ in range(RECORDS_AHEAD)]  # wait behind the answer
        door = on_disk.door._waiting_bytes
        until(lambda: door._places, "something waits in the file")
        came, at = bytearray(), 0
        while isinstance(event := raw.receive(), Data):
            assert (event.stream, event.index) == (request, at)
            came += event.payload
            at += 1
        assert event == Control(request, Sent(len(stored)))
        assert came == stored
        answers = [raw.receive() for _ in asked]
        assert [isinstance(one, Control) and one.request for one in answers] == asked
        assert all(isinstance(one, Control) and isinstance(one.message, Failure) for one in answers)
    until(lambda: not door._places, "the file is closed")


def test_programs_notice_nothing_of_a_server_without_memory(
    world: World, on_disk: HostileServer
) -> None:
    world.alice.put("long", LONG).succeeds()
    assert world.alice.cat("long") == LONG
    assert world.alice.cat("notes.txt") == NOTES


def test_a_client_that_is_gone_leaves_nothing_in_the_file(
    world: World, on_disk: HostileServer
) -> None:
    door = on_disk.door._waiting_bytes
    with RawClient.of(world.alice, on_disk.address) as raw:
        stops_in_a_segment(raw, Download(NodeId(b""), Root(b""), 0))
        until(lambda: door._places, "half a segment waits in the file")
    until(lambda: on_disk.connections == 0 and not door._places, "the file is closed")
