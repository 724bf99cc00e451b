"""Clients that start an upload and then stall, send slowly, or request parts that do not exist."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from fsd.policies import ListenerPolicy
from fsproto.limits import RECORDS_AHEAD, SEGMENT_SIZE
from fsproto.messages.account import GetStatus, Status
from fsproto.messages.base import Done, Failure
from fsproto.messages.files import Download, Kept, Lookup, Resume, Sent, Upload, UploadEnd
from fsproto.sealed import integrity
from fsproto.types import NodeId, Salt, Token
from fsproto.wire.connection import Control, Data
from tests.support import connection_pair
from tests.support.hostile_server import HostileServer
from tests.support.raw_client import ANY_ROOM, RawClient
from tests.support.world import World, until

SALT = Salt(bytes(32))
SEGMENT = bytes(SEGMENT_SIZE)
UPLOAD = 2
"""Number of the first request after the login."""
STALL_S = 0.6
FRAME_S = 2.0
LONG = 16 << 20
"""Bytes that do not fit into the socket buffers of both ends of a connection."""
MORE_THAN_THREADS = 40
"""Connections; a server has 32 threads for all of them."""


@pytest.fixture
def hasty(world: World) -> Iterator[HostileServer]:
    """A server with short time limits for transfers; clients without a transfer may wait."""
    policy = ListenerPolicy(refusal_s=0.05, stall_s=STALL_S, frame_s=FRAME_S)
    with HostileServer(world.home, policy=policy) as server:
        world.meet(server.address)
        yield server


def begun(world: World, server: HostileServer) -> RawClient:
    """Start an upload that can be resumed, and send one segment."""
    raw = RawClient.of(world.alice, server.address)
    raw.send_segment(raw.send(Upload(SALT, resumable=True, room=ANY_ROOM)), 0, SEGMENT)
    return raw


def goes_on(world: World, server: HostileServer) -> None:
    """Check that one segment was kept, and finish the upload."""
    with RawClient.of(world.alice, server.address) as raw:
        request = raw.send(Resume(SALT, ANY_ROOM))
        assert raw.receive() == Control(request, Kept(1, whole=False))
        raw.send_segment(request, 1, b"the rest")
        root = integrity.blob_root(SALT, SEGMENT + b"the rest")
        raw.send(UploadEnd(root, SEGMENT_SIZE + 8), request)
        assert raw.receive() == Control(request, Done())
    until(lambda: not world.staged(), "nothing is staged")


def test_an_upload_that_stalls_is_ended_and_can_be_resumed(
    world: World, hasty: HostileServer
) -> None:
    with begun(world, hasty) as raw, RawClient.of(world.alice, hasty.address) as idle:
        assert raw.is_ended()
        assert isinstance(idle.ask(GetStatus()), Status)  # a client without a transfer may wait
    goes_on(world, hasty)


def test_an_upload_that_trickles_is_ended_and_can_be_resumed(
    world: World, hasty: HostileServer
) -> None:
    with begun(world, hasty) as raw:
        record = connection_pair.segment(raw.connection, 1, 1, SEGMENT)
        started = time.monotonic()
        ended = False
        for at in range(len(record)):
            raw.socket.settimeout(STALL_S / 4)
            try:
                raw.socket.sendall(record[at : at + 1])
                ended = not raw.socket.recv(1)
            except TimeoutError:
                continue
            except OSError:
                ended = True
            break
        assert ended
        assert time.monotonic() - started > FRAME_S / 2  # it was not treated as a stall
    goes_on(world, hasty)


def test_long_requests_are_received_while_an_answer_is_not_taken(
    world: World, liar: HostileServer
) -> None:
    world.alice.put("long", bytes(LONG)).succeeds()
    long = world.alice.find("long").manifest.body
    assert long.content is not None
    nowhere = Lookup(NodeId(bytes(16)), [Token(bytes(32))] * 30_000)
    with RawClient.of(world.alice, liar.address) as raw:
        raw.send(Download(long.node, long.content.root, 0))
        asked = [raw.send(nowhere) for _ in range(RECORDS_AHEAD)]  # raises if it takes too long
        events = iter(raw.receive, None)
        sent = next(event for event in events if isinstance(event, Control))
        assert sent.message == Sent(long.content.sealed_size)
        told = [raw.receive() for _ in asked]
        assert [isinstance(one, Control) and one.request for one in told] == asked


def test_many_half_sent_segments_delay_no_other(world: World, liar: HostileServer) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(begun(world, liar)) for _ in range(MORE_THAN_THREADS)]
        for raw in slow:
            record = connection_pair.segment(raw.connection, UPLOAD, 1, SEGMENT)
            raw.socket.sendall(record[: len(record) // 2])
        with RawClient.of(world.bob, liar.address) as bob:
            assert isinstance(bob.ask(GetStatus()), Status)


def test_segments_that_hold_nothing_are_refused_and_end_only_the_upload(
    world: World, liar: HostileServer
) -> None:
    with begun(world, liar) as raw:
        for index in (1, 2, 3):
            raw.send_segment(UPLOAD, index, b"")
        request = raw.send(GetStatus())
        told = raw.receive()
        assert isinstance(told, Control)
        assert (told.request, isinstance(told.message, Failure)) == (UPLOAD, True)
        answer = raw.receive()
        assert isinstance(answer, Control)
        assert answer.request == request


def test_an_upload_resumes_while_its_old_connection_is_still_open(
    world: World, liar: HostileServer
) -> None:
    with begun(world, liar) as old:
        until(world.staged, "the upload has started")
        assert isinstance(old.ask(GetStatus()), Status)  # so the server has processed the segment
        goes_on(world, liar)
        old.send_segment(UPLOAD, 1, b"of the old one")
        request = old.send(UploadEnd(integrity.blob_root(SALT, SEGMENT), SEGMENT_SIZE), UPLOAD)
        assert isinstance(answer := old.receive(), Control)
        assert answer.request == request


def test_a_user_cannot_resume_anothers_upload(world: World, liar: HostileServer) -> None:
    with begun(world, liar) as alice, RawClient.of(world.bob, liar.address) as bob:
        assert isinstance(alice.ask(GetStatus()), Status)
        assert bob.ask(Resume(SALT, ANY_ROOM)) == Kept(0, whole=False)
    until(lambda: [p.stat().st_size for p in world.staged()] == [SEGMENT_SIZE], "it is kept")
    with RawClient.of(world.bob, liar.address) as bob:
        assert bob.ask(Resume(SALT, ANY_ROOM)) == Kept(0, whole=False)
    goes_on(world, liar)


@pytest.mark.parametrize("length", [0, 31, 33, 1000])
def test_an_upload_is_resumed_by_its_salt_only(
    world: World, liar: HostileServer, length: int
) -> None:
    with RawClient.of(world.alice, liar.address) as raw:
        assert raw.refusal(Resume(Salt(b"/" * length), ANY_ROOM)) == "protocol"


@pytest.mark.parametrize(
    ("first", "there"),
    [(0, [0, 1, 2]), (1, [1, 2]), (2, [2]), (3, None), (-1, None), (1 << 62, None)],
)
def test_a_part_of_a_file_is_had_only_where_there_is_one(
    world: World, liar: HostileServer, first: int, there: list[int] | None
) -> None:
    plan = world.alice.find("plan.bin").manifest.body
    assert plan.content is not None
    stored = world.blob(plan.content.root).read_bytes()
    ask = Download(plan.node, plan.content.root, first)
    with RawClient.of(world.alice, liar.address) as raw:
        if there is None:
            assert raw.refusal(ask) == "protocol"
            return
        request = raw.send(ask)
        for index in there:
            data = raw.receive()
            assert isinstance(data, Data)
            assert (data.stream, data.index) == (request, index)
            at = index * SEGMENT_SIZE
            assert data.payload == stored[at : at + SEGMENT_SIZE]
        assert raw.receive() == Control(request, Sent(len(stored)))
