"""Frames (a length and a body each), and reusable buffers for large ones.

To allocate memory costs more than to encrypt, so large frames reuse the buffers of earlier ones.
"""

from __future__ import annotations

from contextlib import suppress

from fsproto.errors import NotFsdError
from fsproto.limits import MAX_HANDSHAKE_MESSAGE, MAX_RECORD
from fsproto.values import Value
from fsproto.wire.records import LENGTH, body_length

SMALL = 16 * 1024
"""Bodies up to this many bytes get new memory; larger ones use reusable buffers."""


class Frame(Value, frozen=True):
    """One length and its body, as received."""

    header: bytes
    body: memoryview
    buffer: bytearray


class SpareBuffers:
    """Buffers of the length of the longest record that nobody uses now; for any thread.

    The connections of one process share them. New memory for a record costs as much as its hash.
    """

    def __init__(self, most: int) -> None:
        """Take the most buffers to keep."""
        self._most = most
        self._free: list[bytearray] = []
        self._unused = 0
        """The fewest free buffers since the last `trim`."""

    def take(self) -> bytearray:
        """Return a buffer of `MAX_RECORD` bytes, with any content."""
        try:  # not `if`: another thread may take the last one in between
            buffer = self._free.pop()
        except IndexError:
            buffer = bytearray(MAX_RECORD)
        self._unused = min(self._unused, len(self._free))
        return buffer

    def give_back(self, buffer: bytearray) -> None:
        """Keep a buffer that nobody refers to any longer, if there is room for it."""
        if len(buffer) == MAX_RECORD and len(self._free) < self._most:
            self._free.append(buffer)

    def trim(self) -> None:
        """Free as many buffers as were never in use since the last call."""
        del self._free[: self._unused]
        self._unused = len(self._free)


class FrameReceiver:
    """The frame that is being received, and the reusable buffers for large ones.

    Large buffers are reused while large frames arrive, and freed at the next small frame, so that
    an idle connection has none.
    """

    def __init__(self, spares: SpareBuffers | None = None) -> None:
        """Take the buffers that other connections have freed, if there are others."""
        self._spares = SpareBuffers(0) if spares is None else spares
        self._head = bytearray(LENGTH.size)
        self._body: memoryview | None = None
        self._buffer = bytearray()
        self._have = 0
        self._spare: list[bytearray] = []

    def room(self) -> memoryview:
        """Return the buffer for the next bytes."""
        target = memoryview(self._head) if self._body is None else self._body
        return target[self._have :]

    def filled(self, count: int) -> None:
        """Record that `count` bytes of `room` were filled."""
        self._have += count

    def whole(self, limit: int, *, hello: bool) -> bool:
        """Return whether the frame is complete; `FsError` if it is longer than `limit` bytes."""
        if self._body is None:
            if self._have < LENGTH.size:
                return False
            if hello:
                _check_hello_length(self._head)
            self._begin(body_length(self._head, limit), limit)
        return self._body is not None and self._have == len(self._body)

    def take(self) -> Frame:
        """Return the complete frame."""
        if self._body is None:
            raise RuntimeError("there is no whole frame")
        frame = Frame(bytes(self._head), self._body, self._buffer)
        self._body, self._buffer, self._have = None, bytearray(), 0
        return frame

    def _begin(self, length: int, limit: int) -> None:
        self._buffer = bytearray(length) if length <= SMALL else self._large(length, limit)
        self._body, self._have = memoryview(self._buffer)[:length], 0

    def _large(self, length: int, limit: int) -> bytearray:
        """Return a buffer for a large frame; a new one is long enough for every frame."""
        try:  # not `if`: another thread may free the spare buffers in between
            spare = self._spare.pop()
        except IndexError:
            return self._spares.take() if limit == MAX_RECORD else bytearray(limit)
        return spare if len(spare) >= length else bytearray(limit)

    @property
    def held(self) -> int:
        """The bytes of memory that an incomplete frame takes."""
        return 0 if self._body is None else len(self._buffer)

    def set_aside(self) -> tuple[bytes, memoryview, int]:
        """Give up an incomplete frame: return its header, its received bytes, and its length.

        The caller receives the rest of it, before any other byte is received here.
        """
        if self._body is None:
            raise RuntimeError("no frame is being received")
        part = bytes(self._head), self._body[: self._have], len(self._body)
        self.forget()
        return part

    def forget(self) -> None:
        """Free all memory; nothing more is received into it."""
        self._body, self._buffer, self._have = None, bytearray(), 0
        self.rest()

    def rest(self) -> None:
        """Free the spare buffers, for nothing arrives just now."""
        with suppress(IndexError):
            while True:
                self._spares.give_back(self._spare.pop())

    def give_back(self, frame: Frame) -> None:
        """Reuse or free the buffers after a frame was opened."""
        if len(frame.body) <= SMALL:
            self.rest()
        else:
            self._spare.append(frame.buffer)


class FrameBuffers:
    """Reusable memory in which large frames are built, one after the other.

    A frame is valid until the next one is built in the same memory.
    """

    def __init__(self) -> None:
        """Start without memory."""
        self.packed = bytearray()
        """A message before it is sealed."""
        self._frame = bytearray()

    def frame(self, size: int) -> memoryview:
        """Return memory for a frame of `size` bytes."""
        if size > len(self._frame):
            self._frame = bytearray(max(size, MAX_RECORD + LENGTH.size))
        return memoryview(self._frame)[:size]


def _check_hello_length(header: bytearray) -> None:
    """Raise `NotFsdError` for a first length that can only be another protocol (`HTTP`, `SSH-`)."""
    if LENGTH.unpack(header)[0] > MAX_HANDSHAKE_MESSAGE:
        raise NotFsdError
