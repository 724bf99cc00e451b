"""Bytes that wait for slow clients: a limited amount in memory, the others in a file.

A client that is slow, or that stops, makes the server wait with a record that it has received in
part, with requests that wait for their turn, or with an answer that is not read. Together, all
clients make it hold a fixed amount of these in memory. What is beyond that waits in a file without
a name, so it costs disk space, and neither memory nor descriptors. Records wait as they arrived,
sealed for the channel. A large request waits opened, as the server would store it.

A disk can be slow, or stop for a while. `slot`, and the reading and writing of one, wait for it, so
they belong in a thread; everything else never does.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from fsd.blobs.local import explained
from fsproto.errors import ConnectionLost
from fsproto.limits import MAX_RECORD
from fsproto.wire.frames import Frame

FREE = 2048
"""Records up to this many bytes wait in memory and are not counted."""
_SLOT = MAX_RECORD + FREE
"""Bytes of a record with its length, and some more."""


class WaitingBytes:
    """What waits in memory, as a number of bytes, and the file for the rest; for any thread."""

    def __init__(
        self,
        folder: Path | None,
        most: int,
        close: Callable[[BinaryIO], object] = lambda file: file.close(),
    ) -> None:
        """Take the folder of the file (None: the system's) and the most bytes in memory.

        `close` closes the file, which frees its disk space; it should do that in a thread.
        """
        self.most = most
        self._folder = folder
        self._close = close
        self._making = threading.Lock()
        """Held while a thread makes the file."""
        self._lock = threading.RLock()
        """Reentrant: the garbage collector may give a place back while its thread takes one."""
        self._held = 0
        self._file: BinaryIO | None = None
        self._free: list[int] = []
        """Numbers of places in the file that were given back."""
        self._places = 0
        """Places in the file so far."""

    def hold(self, size: int) -> bool:
        """Count bytes that wait in memory; return False, and count nothing, if they are too many.

        Otherwise `release` must follow.
        """
        with self._lock:
            if size and self._held + size > self.most:
                return False
            self._held += size
            return True

    def release(self, size: int) -> None:
        """Count bytes no longer."""
        with self._lock:
            self._held -= size

    def frame(self, frame: Frame) -> WaitingFrame | None:
        """Let a record wait in memory; None if there is no room for it."""
        length = len(frame.body)
        size = max(length, len(frame.buffer)) if length > FREE else 0
        if not self.hold(size):
            return None
        return WaitingFrame(frame.header, length, frame, partial(self.release, size))

    def stored_frame(self, frame: Frame) -> WaitingFrame:
        """Let a record wait in the file; raise the errors of `slot` and `Slot.write`."""
        slot = self.slot()
        slot.write(frame.body)
        return WaitingFrame(frame.header, len(frame.body), slot, slot.give_back)

    def slot(self) -> Slot:
        """Return a place in the file for one record.

        `OutOfSpaceError` or `InternalError` if there can be no file.
        """
        with self._lock:
            if self._free:
                number = self._free.pop()
            else:
                number, self._places = self._places, self._places + 1
        # From here on, one place is not free, so nothing closes the file.
        try:
            return Slot(self._made().fileno(), number, self._give_back)
        except BaseException:
            self._give_back(number)
            raise

    def _made(self) -> BinaryIO:
        with self._making:
            if self._file is None:
                with explained():
                    self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
            return self._file

    def _give_back(self, number: int) -> None:
        with self._lock:
            self._free.append(number)
            if len(self._free) < self._places:
                return
            file, self._file, self._free, self._places = self._file, None, [], 0
        if file is not None:
            self._close(file)


class Slot:
    """A place in the file for one record."""

    def __init__(self, file: int, number: int, give_back: Callable[[int], None]) -> None:
        self._file = file
        self._number = number
        self._give_back = give_back
        self._lock = threading.Lock()
        self._users = 0
        """Threads that read or write now."""
        self._over = False
        """Whether it was given back; the last of the threads gives it to others."""

    def write(self, data: bytes | memoryview, at: int = 0) -> None:
        """Store bytes; `OutOfSpaceError` if the disk is full, `InternalError` if it fails."""
        view = memoryview(data)
        with self._used(), explained():
            while view:
                count = os.pwrite(self._file, view, self._number * _SLOT + at)
                view, at = view[count:], at + count

    def read_into(self, room: memoryview, at: int = 0) -> None:
        """Fill `room` with stored bytes; `InternalError` if the disk fails."""
        with self._used(), explained():
            while room:
                count = os.preadv(self._file, [room], self._number * _SLOT + at)
                if not count:
                    raise OSError("the file of waiting records was cut")
                room, at = room[count:], at + count

    def __del__(self) -> None:
        self.give_back()  # a task that was cancelled had it last

    def give_back(self) -> None:
        """Let others use the place; harmless if it was given back."""
        with self._lock:
            if self._over:
                return
            self._over = True
            in_use = self._users > 0
        if not in_use:
            self._give_back(self._number)

    @contextmanager
    def _used(self) -> Iterator[None]:
        """Use the place, so that no other record gets it."""
        with self._lock:
            if self._over:  # the connection was closed concurrently
                raise ConnectionLost
            self._users += 1
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            is_last = self._over and not self._users
        if is_last:
            self._give_back(self._number)


class WaitingFrame:
    """A received record that waits until it is processed, in memory or in the file."""

    def __init__(
        self, header: bytes, length: int, held: Frame | Slot, release: Callable[[], None]
    ) -> None:
        """Take its header, the bytes of its body, where it is, and what frees its room there."""
        self.length = length
        self._header = header
        self._lock = threading.Lock()
        self._held: Frame | Slot | None = held
        self._release = release

    @property
    def in_memory(self) -> bool:
        """Whether `take` returns at once."""
        return not isinstance(self._held, Slot)

    def take(self) -> Frame:
        """Return the record; once only. It no longer counts as waiting."""
        with self._lock:
            held, self._held = self._held, None
        if held is None:  # the connection was closed concurrently
            raise ConnectionLost
        try:
            return held if isinstance(held, Frame) else self._read(held)
        finally:
            self._release()

    def drop(self) -> None:
        """Forget the record; harmless if it was taken."""
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            self._release()

    def __del__(self) -> None:
        self.drop()  # a task that was cancelled received it last

    def _read(self, slot: Slot) -> Frame:
        buffer = bytearray(self.length)
        body = memoryview(buffer)
        slot.read_into(body)
        return Frame(self._header, body, buffer)
