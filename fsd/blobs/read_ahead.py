"""Reads the next segments of a blob in another thread, in bounded memory.

A download then waits for the client and for the store at the same time, not in turns.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Executor, Future

from fsd.blobs.base import BlobReader
from fsproto.limits import SEGMENT_SIZE

AHEAD = 3
"""Segments that are read before they are requested."""


class ReadAhead:
    """A reader that reads the next segments of another one from its second read on.

    One thread uses it. Work never waits for a thread of the pool: if none is free, the caller
    reads.
    """

    def __init__(self, source: BlobReader, pool: Executor) -> None:
        """Take the reader, which is this one's from now on, and the threads."""
        self._source = source
        self._pool = pool
        self._changed = threading.Condition()
        self._waiting: deque[memoryview] = deque()
        self._task: Future[None] | None = None
        """What reads ahead, and has not ended; only then another thread uses the source."""
        self._error: BaseException | None = None
        self._is_at_end = False
        self._is_first = True
        self._is_stopped = False
        self._is_closed = False

    def readinto(self, room: memoryview, /) -> int | None:
        """Fill `room` with the next bytes, or a part of it; 0 only at the end."""
        if self._is_first:  # most blobs are read at once
            self._is_first = False
            return self._source.readinto(room)
        with self._changed:
            if self._task is not None and not self._waiting and self._task.cancel():
                self._task = None
            while self._task is not None and not self._waiting:
                self._changed.wait()
            if self._waiting:
                return self._taken(room)
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if self._is_at_end:
                return 0
        count = self._source.readinto(room)
        with self._changed:
            self._start()
        return count

    def seek(self, to: int) -> None:
        """Continue reading at byte `to`."""
        self._stop()
        self._waiting.clear()
        self._error, self._is_at_end, self._is_first, self._is_stopped = None, False, True, False
        self._source.seek(to)

    def close(self) -> None:
        """Close the reader; a running read ends later, and closes the source."""
        with self._changed:
            self._is_stopped = self._is_closed = True
            self._waiting.clear()
            if self._task is not None and self._task.cancel():
                self._task = None
            if self._task is not None:
                return
        self._source.close()

    def _taken(self, room: memoryview) -> int:
        data = self._waiting.popleft()
        count = min(len(room), len(data))
        room[:count] = data[:count]
        if count < len(data):
            self._waiting.appendleft(data[count:])
        self._start()
        return count

    def _start(self) -> None:
        """Read ahead in a thread, unless one does or there is nothing to read."""
        is_over = self._is_at_end or self._error is not None
        if self._task is None and not is_over and len(self._waiting) < AHEAD:
            try:
                self._task = self._pool.submit(self._fill)
            except RuntimeError:  # no thread can be started
                self._task = None

    def _stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            if self._task is not None and self._task.cancel():
                self._task = None
            while self._task is not None:
                self._changed.wait()

    def _fill(self) -> None:
        room, more, closing = memoryview(bytearray(SEGMENT_SIZE)), True, False
        while more:
            error, count = None, 0
            try:
                while count < SEGMENT_SIZE and (got := self._source.readinto(room[count:])):
                    count += got
            except BaseException as raised:  # noqa: BLE001 - raised by `readinto`
                error = raised
            with self._changed:
                if count:
                    self._waiting.append(room[:count])
                self._error = error
                self._is_at_end = error is None and count < SEGMENT_SIZE
                is_over = self._is_at_end or error is not None or self._is_stopped
                more = not is_over and len(self._waiting) < AHEAD
                if not more:
                    self._task = None
                    closing = self._is_closed
                self._changed.notify_all()
            if more:
                room = memoryview(bytearray(SEGMENT_SIZE))
        if closing:
            self._source.close()
