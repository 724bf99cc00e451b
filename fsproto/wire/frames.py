"""Frames, a length and a body each, and the memory that large ones are received into or made in.

Memory that is new costs more than the cipher, so large frames use again what large ones used.
"""

from __future__ import annotations

from fsproto.errors import NotFsdError
from fsproto.limits import MAX_HANDSHAKE_MESSAGE, MAX_RECORD
from fsproto.values import Value
from fsproto.wire.records import LENGTH, body_length

SMALL = 16 * 1024
"""Bodies up to this many bytes are handled as they come, larger ones in buffers used again."""


class Frame(Value, frozen=True):
    """One length and the body behind it, as they came."""

    header: bytes
    body: memoryview
    buffer: bytearray


class FrameReceiver:
    """The frame that is being received, and the buffers large ones are received into.

    A large buffer is used again while large frames come (new memory would cost more than the
    cipher), and let go at the next small frame, so that an idle connection holds none.
    """

    def __init__(self) -> None:
        self._head = bytearray(LENGTH.size)
        self._body: memoryview | None = None
        self._buffer = bytearray()
        self._have = 0
        self._spare: list[bytearray] = []

    def room(self) -> memoryview:
        """Return where the next bytes go."""
        target = memoryview(self._head) if self._body is None else self._body
        return target[self._have :]

    def filled(self, count: int) -> None:
        """Say that so many bytes of `room` were filled."""
        self._have += count

    def whole(self, limit: int, *, hello: bool) -> bool:
        """Tell whether the frame is whole; `FsError` if it is longer than `limit` bytes."""
        if self._body is None:
            if self._have < LENGTH.size:
                return False
            if hello:
                _check_hello_length(self._head)
            self._begin(body_length(self._head, limit))
        return self._body is not None and self._have == len(self._body)

    def take(self) -> Frame:
        """Return the frame, which is whole."""
        if self._body is None:
            raise RuntimeError("there is no whole frame")
        frame = Frame(bytes(self._head), self._body, self._buffer)
        self._body, self._have = None, 0
        return frame

    def _begin(self, length: int) -> None:
        if length <= SMALL:
            self._buffer = bytearray(length)
        else:
            try:  # not `if`: another thread may give a frame back and let the spare ones go
                self._buffer = self._spare.pop()
            except IndexError:
                self._buffer = bytearray(MAX_RECORD)
        self._body, self._have = memoryview(self._buffer)[:length], 0

    def give_back(self, frame: Frame) -> None:
        """Take back the buffer of a frame that was opened."""
        if len(frame.body) <= SMALL:
            self._spare.clear()
        else:
            self._spare.append(frame.buffer)


class FrameBuffers:
    """The memory that large frames are made in, one after the other.

    What was made in it holds until the next one is, or until it is let go of.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.packed = bytearray()
        """A message before it is sealed."""
        self._frame = bytearray()

    def frame(self, size: int) -> memoryview:
        """Return room for a frame of `size` bytes."""
        if size > len(self._frame):
            self._frame = bytearray(max(size, MAX_RECORD + LENGTH.size))
        return memoryview(self._frame)[:size]


def _check_hello_length(header: bytearray) -> None:
    """Tell a stranger's protocol (`HTTP`, `SSH-`) from an attack on ours."""
    if LENGTH.unpack(header)[0] > MAX_HANDSHAKE_MESSAGE:
        raise NotFsdError
