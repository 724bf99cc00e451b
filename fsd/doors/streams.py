"""Segments that a thread moves by itself for a while: it receives what it works on, or sends it.

Who is fast is served by one thread for a whole turn. For who is slow the thread waits a moment at
most; the event loop does the rest of the waiting. A turn ends after some megabytes, so that many
take turns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from fsd.doors.desk import Download
from fsd.doors.line import Line
from fsproto.errors import FsError
from fsproto.limits import MAX_RECORD, SEGMENT_SIZE
from fsproto.wire.connection import DATA_ROOM, RECORD_ROOM, Connection, Data, Event
from fsproto.wire.frames import Frame

TURN_BYTES = 16 << 20
_FRAME_COST = 4096
"""Bytes that any frame counts for beside its own."""
_WORTH_WAITING = SEGMENT_SIZE // 2


class Incoming:
    """The segments of one connection's uploads on their way in."""

    def __init__(
        self, line: Line, connection: Connection, take: Callable[[Data], FsError | None]
    ) -> None:
        """Take where they come from, and what takes one, and returns what is to be told of it."""
        self._line = line
        self._connection = connection
        self._take = take
        self._plain: memoryview | None = None

    def open(self, frame: Frame) -> tuple[Event, FsError | None]:
        """Open a frame and, if it is a segment, take that."""
        if self._plain is None:
            self._plain = memoryview(bytearray(MAX_RECORD))
        event = self._connection.open_frame(frame, self._plain)
        return event, self._take(event) if isinstance(event, Data) else None

    def turn(self, frames: deque[Frame], *, go_on: bool) -> tuple[Event | None, FsError | None]:
        """Open frames and, with `go_on`, those that follow, as long as they are segments.

        Return the first that is something else, or the first failure and whose it is, if there
        was one. What was not looked at stays in `frames`.
        """
        left, size = TURN_BYTES, 0
        while left > 0:
            frame = self._frame(frames, size) if frames or go_on else None
            if frame is None:
                break
            event, failed = self.open(frame)
            if failed or not isinstance(event, Data):
                return event, failed
            size = len(event.payload)
            left -= size + _FRAME_COST
        return None, None

    def _frame(self, came: deque[Frame], size_before: int) -> Frame | None:
        """Return the next frame; it is waited for only behind one that was worth it.

        Else a few peers who send next to nothing, always in time, could keep all threads waiting.
        """
        if came:
            return came.popleft()
        return self._line.frame_soon(wait=size_before >= _WORTH_WAITING)

    def rest(self) -> None:
        """Let the memory go until there are segments again."""
        self._plain = None


class Outgoing:
    """One download on its way out; it all travels through the same memory."""

    def __init__(
        self, line: Line, connection: Connection, request: int, download: Download
    ) -> None:
        """Take where it goes, and what goes there."""
        self._line = line
        self._connection = connection
        self._request = request
        self._download = download
        self._next = download.first
        self._segment = memoryview(bytearray(DATA_ROOM + download.longest))
        self._record = memoryview(bytearray(RECORD_ROOM + DATA_ROOM + download.longest))

    @property
    def is_over(self) -> bool:
        """Tell whether there is nothing more to be read."""
        return self._next == self._download.first + self._download.segments

    def turn(self) -> memoryview:
        """Read, seal and send; return what the peer has not taken yet of the last record."""
        sent = 0
        while sent < TURN_BYTES and not self.is_over:
            record = self._sealed()
            sent += len(record)
            if rest := self._line.send_soon(record):
                return rest
        return self._record[:0]

    def _sealed(self) -> memoryview:
        size = self._download.segment_into(self._segment[DATA_ROOM:])
        index, self._next = self._next, self._next + 1
        data = self._segment[: DATA_ROOM + size]
        return self._connection.seal_segment(self._request, index, data, self._record)
