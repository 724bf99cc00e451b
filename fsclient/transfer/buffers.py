"""Memory that segments travel through, used again and again: the system's new memory is slow."""

from __future__ import annotations

from fsproto.limits import SEGMENT_SIZE
from fsproto.wire.connection import DATA_ROOM


class Buffer:
    """Room for one segment: as plaintext, and sealed behind its address on the wire."""

    def __init__(self) -> None:
        """Take the memory."""
        self.plain = memoryview(bytearray(SEGMENT_SIZE))
        self.sealed = memoryview(bytearray(DATA_ROOM + SEGMENT_SIZE))


class Buffers:
    """Those that are free."""

    def __init__(self) -> None:
        """Begin with none; they are made when they are first needed."""
        self._free: list[Buffer] = []

    def take(self) -> Buffer:
        """Return one that nobody uses."""
        return self._free.pop() if self._free else Buffer()

    def give_back(self, buffer: Buffer) -> None:
        """Say that nobody uses it any more."""
        self._free.append(buffer)
