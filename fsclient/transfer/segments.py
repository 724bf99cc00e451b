"""Files as segments: what is read, cut into segments, and the memory they travel through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from fsclient.transfer.local.files import LocalStat
from fsproto.limits import SEGMENT_SIZE
from fsproto.sealed import stream
from fsproto.values import Value
from fsproto.wire.connection import DATA_ROOM


class Buffer:
    """Room for one segment: as plaintext, and sealed behind its address on the wire."""

    def __init__(self) -> None:
        self.plain = memoryview(bytearray(SEGMENT_SIZE))
        self.sealed = memoryview(bytearray(DATA_ROOM + SEGMENT_SIZE))


class Buffers:
    """Those that are free."""

    def __init__(self) -> None:
        self._free: list[Buffer] = []

    def take(self) -> Buffer:
        """Return one that nobody uses."""
        return self._free.pop() if self._free else Buffer()

    def give_back(self, buffer: Buffer) -> None:
        """Say that nobody uses it any more."""
        self._free.append(buffer)


class PlaintextSource(Protocol):
    """What can be put: a local file, or a pipe."""

    @property
    def facts(self) -> LocalStat:
        """What is known of it before it was read."""

    def read_into(self, room: memoryview) -> int:
        """Fill `room` with what comes next, not to its end only where there is no more."""

    def check_unchanged(self, size: int) -> None:
        """Raise unless `size` bytes are all of it, as it is now."""


class PlainSegment(Value, frozen=True):
    """Plaintext that was read, and where it stands in its stream."""

    index: int
    buffer: Buffer
    size: int
    last: bool


def segments(
    read_into: Callable[[memoryview], int], take: Callable[[], Buffer], first: int = 0
) -> Iterator[PlainSegment]:
    """Cut what is read into the segments of a stream from `first` on, each in its own buffer.

    Which segment is the last is part of its seal, so one segment is read ahead.
    """
    index, buffer = first, take()
    size = read_into(buffer.plain[: stream.plain_length(index)])
    while True:
        following, more = buffer, 0
        if size == stream.plain_length(index):
            following = take()
            more = read_into(following.plain[: stream.plain_length(index + 1)])
        yield PlainSegment(index, buffer, size, not more)
        if not more:
            return
        index, buffer, size = index + 1, following, more
