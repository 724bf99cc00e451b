from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from functools import partial
from hashlib import sha256

import pytest

from fsd.net.segments import TURN_BYTES, Failed, SegmentReceiver, Take
from fsd.net.services import SPARE_BUFFERS
from fsd.net.transport import Transport
from fsd.net.waiting import WaitingBytes
from fsd.workers import IdleWorkers
from fsproto.errors import FsError, OutOfSpaceError
from fsproto.limits import SEGMENT_SIZE
from fsproto.messages.account import GetStatus
from fsproto.wire.connection import Control, Data, Event
from fsproto.wire.frames import SpareBuffers
from tests.support.connection_pair import opened
from tests.support.connection_pair import segment as segment_record
from tests.support.fixed_keys import stretch

Segment = tuple[int, int, bytes]
"""Stream, index, content."""
LAST = Control(9, GetStatus())
SEGMENTS: list[Segment] = [
    *(
        (1 + index % 2, index // 2, stretch(f"segment {index}", SEGMENT_SIZE))
        for index in range(40)
    ),
    (1, 20, b"the end of the first"),
]
"""More segments than fit in a turn, alternating between two uploads."""
assert len(SEGMENTS) * SEGMENT_SIZE > 2 * TURN_BYTES

spared = pytest.mark.parametrize("spare", [0, 1, 2])


def received(
    segments: Sequence[Segment], take: Take, spare: int
) -> tuple[list[Failed], list[Event]]:
    """Send segments and `LAST`; return the failed uploads and the other events."""
    return asyncio.run(_received(segments, take, spare))


async def _received(
    segments: Sequence[Segment], take: Take, spare: int
) -> tuple[list[Failed], list[Event]]:
    client, server = opened()
    near, far = socket.socketpair()
    far.setblocking(False)
    line, threads = Transport(far, server, 30.0, WaitingBytes(None, 0)), IdleWorkers(spare)
    incoming = SegmentReceiver(line, server, take, threads, SpareBuffers(SPARE_BUFFERS))
    told: list[Failed] = []
    events: list[Event] = []
    records = [segment_record(client, *segment) for segment in segments]
    records.append(client.send(LAST.request, LAST.message))
    sending = asyncio.create_task(asyncio.to_thread(near.sendall, b"".join(records)))
    try:
        while not events:
            frames = deque([await line.frame()])
            event, failed = await asyncio.to_thread(partial(incoming.turn, frames, go_on=True))
            assert not frames
            told += failed
            events += [] if event is None else [event]
        await sending
    finally:
        near.close()
        line.close()
        await asyncio.gather(sending, return_exceptions=True)
        threads.close()
    return told, events


@spared
def test_all_segments_are_taken_in_their_order(spare: int) -> None:
    taken: list[Segment] = []

    def take(data: Data) -> None:
        for _ in range(4):  # slower than the segments arrive
            sha256(data.payload)
        taken.append((data.stream, data.index, bytes(data.payload)))

    assert received(SEGMENTS, take, spare) == ([], [LAST])
    assert taken == SEGMENTS


@spared
def test_what_could_not_be_taken_is_told_of_its_own_upload(spare: int) -> None:
    taken: list[tuple[int, int]] = []
    full = OutOfSpaceError("Full.")

    def take(data: Data) -> FsError | None:
        taken.append((data.stream, data.index))
        return full if (data.stream, data.index) == (2, 3) else None

    assert received(SEGMENTS, take, spare) == ([(2, full)], [LAST])
    assert taken == [(stream, index) for stream, index, _ in SEGMENTS]


@spared
def test_what_nobody_expected_ends_it(spare: int) -> None:
    taken: list[tuple[int, int]] = []

    def take(data: Data) -> None:
        taken.append((data.stream, data.index))
        if (data.stream, data.index) == (1, 2):
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        received(SEGMENTS, take, spare)
    assert taken == [(stream, index) for stream, index, _ in SEGMENTS[:5]]
