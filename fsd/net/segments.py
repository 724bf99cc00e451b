"""Segment transfer in a thread, which receives and opens segments, or seals and sends them.

One thread serves a fast client for a whole turn. For a slow client the thread waits only a moment,
and the event loop does the rest of the waiting. A turn ends after some megabytes, so that many
clients share the threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue

from fsd.net.dispatch import BlobDownload
from fsd.net.transport import Transport
from fsd.net.waiting import WaitingFrame
from fsd.workers import IdleWorkers
from fsproto.errors import FsError
from fsproto.limits import SEGMENT_SIZE
from fsproto.wire.connection import DATA_ROOM, RECORD_ROOM, Connection, Data, Event, Packed
from fsproto.wire.frames import SMALL, Frame, SpareBuffers

TURN_BYTES = 16 << 20
_FRAME_COST = 4096
"""Bytes that each frame counts in addition to its own."""
_WORTH_WAITING = SEGMENT_SIZE // 2
_ROOMS = 4
"""Segment buffers of one connection: one being opened, one being stored, and two waiting."""

Take = Callable[[Data], FsError | None]
"""Stores a segment; returns the error for the client if that fails."""
Failed = tuple[int, FsError]
"""The number of an upload, and the error for the client."""


class SegmentReceiver:
    """The receiver of segments of one connection's uploads."""

    def __init__(
        self,
        line: Transport,
        connection: Connection,
        take: Take,
        spare: IdleWorkers,
        buffers: SpareBuffers,
    ) -> None:
        """Take the source of segments, the function that stores one, spare threads and buffers."""
        self._line = line
        self._connection = connection
        self._take = take
        self._spare = spare
        self._buffers = buffers

    def turn(
        self, frames: deque[WaitingFrame], *, go_on: bool
    ) -> tuple[Event | None, list[Failed]]:
        """Open frames and, with `go_on`, those that follow, while they are segments.

        Return the first event other than a segment, if any, and the failed segments; segments
        opened after a failed one were stored too. Unprocessed frames stay in `frames`.
        """
        rooms = _Buffers(self._buffers)  # a client that stops in an upload holds none
        taking = _Taking(self._take, rooms, self._spare)
        left, size = TURN_BYTES, 0
        try:
            while left > 0 and not taking.over:
                frame = self._frame(frames, size) if frames or go_on else None
                if frame is None:
                    break
                room = rooms.take()
                event = self._connection.open_frame(frame, memoryview(room))
                if not isinstance(event, Data):
                    if len(frame.body) <= SMALL:  # else the event may refer to the buffer
                        rooms.give_back(room)
                    return _of_its_size(event), taking.failed
                taking.add(event, room)
                size = len(event.payload)
                left -= size + _FRAME_COST
        finally:
            self._connection.rest()  # the next turn may be long in coming
            taking.finish()
            rooms.free()  # not after an error: a thread may still use one
        return None, taking.failed

    def _frame(self, came: deque[WaitingFrame], size_before: int) -> Frame | None:
        """Return the next frame; wait for it only after a frame of sufficient size.

        Otherwise a few clients that send tiny frames, just in time, could occupy all threads.
        """
        if came:
            return came.popleft().take()
        return self._line.frame_soon(wait=size_before >= _WORTH_WAITING)


def _of_its_size(event: Event) -> Event:
    """Return the event in memory of its own size: a request may wait long after it was opened.

    What was opened into the buffer of a segment would keep all of that buffer.
    """
    if not isinstance(event, Packed):
        return event
    return Packed(event.request, memoryview(bytes(event.payload)))


class _Buffers:
    """Segment buffers of one turn; one thread takes them, any thread gives them back."""

    def __init__(self, spares: SpareBuffers) -> None:
        """Take the buffers that all connections share."""
        self._spares = spares
        self._free: SimpleQueue[bytearray] = SimpleQueue()
        self._made = 0

    def take(self) -> bytearray:
        """Return a buffer; if all are in use, wait until one is given back."""
        if self._made < _ROOMS and self._free.empty():
            self._made += 1
            return self._spares.take()
        return self._free.get()

    def give_back(self, room: bytearray) -> None:
        """Return an unused buffer to the turn."""
        self._free.put(room)

    def free(self) -> None:
        """Give the unused buffers to other connections; the turn is over."""
        while not self._free.empty():
            self._spares.give_back(self._free.get())


class _Taking:
    """The storage of opened segments, one after the other.

    A spare thread does this, if one is free, while the next segments are received and opened. A
    partial segment (the last of its file) is stored at once: waking a thread would take longer.
    """

    def __init__(self, take: Take, rooms: _Buffers, spare: IdleWorkers) -> None:
        """Take the function that stores a segment, the buffers, and the spare threads."""
        self.failed: list[Failed] = []
        """The segments that could not be stored."""
        self._error: Exception | None = None
        """An unexpected error; `finish` raises it in the waiting thread."""
        self._take = take
        self._rooms = rooms
        self._spare = spare
        self._waiting: SimpleQueue[tuple[Data, bytearray] | None] = SimpleQueue()
        self._thread: Future[None] | None = None

    def add(self, data: Data, room: bytearray) -> None:
        """Store a segment, now or after the earlier ones; `room` is its buffer."""
        if self._thread is None and len(data.payload) == SEGMENT_SIZE:
            self._thread = self._spare.try_submit(self._take_all)
        if self._thread is None:
            self._take_one(data, room)
        else:
            self._waiting.put((data, room))

    @property
    def over(self) -> bool:
        """Whether an error occurred, so that the caller should stop adding."""
        return bool(self.failed) or self._error is not None

    def finish(self) -> None:
        """Wait until all added segments are stored; raise unexpected errors."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.result()
        if self._error is not None:
            raise self._error

    def _take_all(self) -> None:
        while segment := self._waiting.get():
            self._take_one(*segment)

    def _take_one(self, data: Data, room: bytearray) -> None:
        try:
            if self._error is None and (failed := self._take(data)):
                self.failed.append((data.stream, failed))
        except Exception as error:  # noqa: BLE001 - raised by `finish`
            self._error = error
        finally:
            self._rooms.give_back(room)


class SegmentSender:
    """The sender of one download; a client that does not read makes one segment wait."""

    def __init__(
        self,
        line: Transport,
        connection: Connection,
        request: int,
        download: BlobDownload,
        buffers: SpareBuffers,
    ) -> None:
        """Take the transport, the download, and the buffers that all connections share."""
        self._buffers = buffers
        self._line = line
        self._connection = connection
        self._request = request
        self._download = download
        self._next = download.first

    @property
    def is_over(self) -> bool:
        """Return whether everything has been read."""
        return self._next == self._download.first + self._download.segments

    def turn(self) -> None:
        """Read, seal and send, until a record is not sent completely; `Transport.flush` follows."""
        rooms = self._buffers.take(), self._buffers.take()
        segment = memoryview(rooms[0])[: DATA_ROOM + self._download.longest]
        record = memoryview(rooms[1])[: RECORD_ROOM + len(segment)]
        sent = 0
        while sent < TURN_BYTES and not self.is_over:
            sealed = self._sealed(segment, record)
            sent += len(sealed)
            if not self._line.send_soon(sealed):
                break  # others use the buffers while the client waits
        for room in rooms:
            self._buffers.give_back(room)

    def _sealed(self, segment: memoryview, record: memoryview) -> memoryview:
        size = self._download.segment_into(segment[DATA_ROOM:])
        index, self._next = self._next, self._next + 1
        data = segment[: DATA_ROOM + size]
        return self._connection.seal_segment(self._request, index, data, record)
