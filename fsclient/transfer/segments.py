"""Splitting of plaintext into segments, and the buffers for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from fsclient.transfer.local.files import LocalStat
from fsproto.limits import SEGMENT_SIZE
from fsproto.sealed import stream
from fsproto.values import Value
from fsproto.wire.connection import DATA_ROOM


class Buffer:
    """Memory for one segment: its plaintext, and its sealed form after the wire address."""

    def __init__(self) -> None:
        self.plain = memoryview(bytearray(SEGMENT_SIZE))
        self.sealed = memoryview(bytearray(DATA_ROOM + SEGMENT_SIZE))


class Buffers:
    """A pool of free buffers."""

    def __init__(self) -> None:
        self._free: list[Buffer] = []

    def take(self) -> Buffer:
        """Return a free buffer."""
        return self._free.pop() if self._free else Buffer()

    def give_back(self, buffer: Buffer) -> None:
        """Return a buffer to the pool."""
        self._free.append(buffer)


class PlaintextSource(Protocol):
    """A source of plaintext for an upload: a local file or a pipe."""

    @property
    def facts(self) -> LocalStat:
        """Size, time and mode, as known before reading."""

    def read_into(self, room: memoryview) -> int:
        """Read the next bytes into `room`; fill it unless the source ends."""

    def check_unchanged(self, size: int) -> None:
        """Raise if the source changed or is not exactly `size` bytes long."""


class PlainSegment(Value, frozen=True):
    """A segment of plaintext and its index in the stream."""

    index: int
    buffer: Buffer
    size: int
    last: bool


def segments(
    read_into: Callable[[memoryview], int], take: Callable[[], Buffer], first: int = 0
) -> Iterator[PlainSegment]:
    """Yield the plaintext in segments, starting with index `first`, each in its own buffer.

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
