"""Quotas with the real programs.

Uploads are refused, connections break, clients and servers are killed, and writers fill other
people's folders. Reserved bytes that are never used become free again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from fsproto.limits import SEGMENT_SIZE
from fsproto.messages.account import GetStatus, Status
from fsproto.messages.files import Room, Upload
from fsproto.types import Salt
from fsproto.wire.connection import Control
from tests.attacks.test_crashes import Putting
from tests.support.fixed_keys import stretch
from tests.support.raw_client import RawClient
from tests.support.servers import RunningServer
from tests.support.world import NOTES, World, finish, until

SPACE = 9
BIG = stretch("big", 3 * SEGMENT_SIZE)


@pytest.fixture
def server(world: World) -> Iterator[RunningServer]:
    """The real program on the world."""
    with world.process() as running:
        yield running


def used(server: RunningServer, name: str) -> int:
    shown = json.loads(server.admin("show-user", name, "--json").stdout)
    return int(shown["used_bytes"])


def allow(server: RunningServer, name: str, more: int) -> int:
    """Set a person's quota to the used bytes plus `more`; return the quota in bytes."""
    most = used(server, name) + more
    done = server.admin("change-user", name, "--quota-bytes", str(most))
    assert done.returncode == 0, done.stderr
    return most


def reserved(world: World) -> int:
    """Return the bytes that the server has reserved for uploads."""
    with world.database() as db:
        return int(db.execute("SELECT COALESCE(SUM(size), 0) FROM reservations").fetchone()[0])


def adds_up(server: RunningServer) -> None:
    """Run `fsadmin check`: the counted bytes must equal the stored bytes."""
    looked = server.admin("check")
    assert looked.returncode == 0, looked.stdout


def test_what_is_too_much_is_refused_with_a_sentence_and_what_was_there_stays(
    world: World, server: RunningServer
) -> None:
    most = allow(server, "alice", 2 * SEGMENT_SIZE)
    told = world.alice.put("notes.txt", BIG).fails(SPACE)
    assert "Your quota is used up: " in told
    assert "and this needs 3.0 MiB more." in told
    assert "fsclient status" in told
    assert world.alice.cat("notes.txt") == NOTES
    assert world.staged() == []
    status = json.loads(world.alice.run("status", "--json").succeeds())
    assert (status["quota_bytes"], status["quota_files"]) == (most, None)
    assert status["used_bytes"] == used(server, "alice") == most - 2 * SEGMENT_SIZE
    shown = world.alice.run("status").succeeds().decode()
    assert "quota    " in shown
    assert " used\n" in shown
    adds_up(server)


def test_small_files_inside_a_commit_are_refused_as_well(
    world: World, server: RunningServer
) -> None:
    allow(server, "alice", 100)
    world.alice.put("tiny.txt", b"").succeeds()
    told = world.alice.put("small.txt", b"x" * 100).fails(SPACE)
    assert "Your quota is used up: " in told
    world.alice.run("cat", "small.txt").fails(5)
    adds_up(server)


def test_a_pipe_is_refused_when_what_came_of_it_is_too_much(
    world: World, server: RunningServer
) -> None:
    allow(server, "alice", 2 * SEGMENT_SIZE)
    process = world.alice.start("put", "-", "piped.bin")
    finish_with = process.communicate(BIG, timeout=60)
    assert process.returncode == SPACE, finish_with
    assert b"Your quota is used up" in finish_with[1]
    until(lambda: reserved(world) == 0, "the room was given back")
    adds_up(server)


def begun(world: World, server: RunningServer, size: int) -> RawClient:
    """Start an upload and send one segment of it."""
    raw = RawClient.of(world.alice, server.address)
    room = Room(None, None, size)
    request = raw.send(Upload(Salt(os.urandom(32)), resumable=False, room=room))
    raw.send_segment(request, 0, bytes(SEGMENT_SIZE))
    until(lambda: reserved(world) == size, "the room was reserved")
    return raw


def test_room_that_a_lost_connection_had_reserved_is_to_be_had_again(
    world: World, server: RunningServer
) -> None:
    allow(server, "alice", 4 * SEGMENT_SIZE)
    raw = begun(world, server, 3 * SEGMENT_SIZE)
    world.alice.put("big.bin", BIG).fails(SPACE)
    raw.socket.close()
    until(lambda: reserved(world) == 0, "the room was given back")
    world.alice.put("big.bin", BIG).succeeds()
    adds_up(server)


def test_an_upload_that_was_refused_disturbs_nothing_else(
    world: World, server: RunningServer
) -> None:
    allow(server, "alice", SEGMENT_SIZE)
    with RawClient.of(world.alice, server.address) as raw:
        room = Room(None, None, 3 * SEGMENT_SIZE)
        request = raw.send(Upload(Salt(os.urandom(32)), resumable=False, room=room))
        # In flight while the server refuses the upload.
        raw.send_segment(request, 0, bytes(SEGMENT_SIZE))
        answer = raw.receive()
        assert isinstance(answer, Control)
        assert answer.request == request
        assert answer.message.code == "quota"  # type: ignore[attr-defined]
        assert isinstance(raw.ask(GetStatus()), Status)
        assert world.staged() == []


def test_a_client_that_is_killed_leaves_its_room_to_others(
    world: World, server: RunningServer
) -> None:
    allow(server, "alice", 20 * SEGMENT_SIZE)
    putting = Putting(world, "piped.bin")
    assert reserved(world) > 0
    putting.process.kill()
    finish(putting.process)
    until(lambda: reserved(world) == 0, "the room was given back")
    adds_up(server)


def test_a_server_that_is_killed_leaves_nothing_reserved(
    world: World, server: RunningServer
) -> None:
    allow(server, "alice", 4 * SEGMENT_SIZE)
    raw = begun(world, server, 3 * SEGMENT_SIZE)
    server.kill()
    raw.socket.close()  # only now: the server gives back what a lost connection had reserved
    assert reserved(world) == 3 * SEGMENT_SIZE
    with server.restart() as again:
        assert reserved(world) == 0
        world.alice.put("big.bin", BIG).succeeds()
        adds_up(again)


def test_a_writer_in_anothers_folder_uses_the_owners_quota(team: World) -> None:
    with team.process() as server:
        bob = team.bob
        allow(server, "bob", 10)
        allow(server, "alice", 8 * SEGMENT_SIZE)
        before = used(server, "alice")
        folder = bob.folder / "new"
        # The folders arrive together with the file.
        for name in ("deep/er/big.bin", "deep/small.txt"):
            bob.write(f"new/{name}", BIG if name.endswith("bin") else b"small")
        bob.run("put", folder, "alice:reports/").succeeds()
        assert used(server, "alice") > before + len(BIG)
        told = bob.run("put", bob.write("huge.bin", BIG * 2), "alice:reports/huge.bin")
        sentence = told.fails(SPACE)
        assert "The quota of alice, in which this folder counts, is used up." in sentence
        adds_up(server)
