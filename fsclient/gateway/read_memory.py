"""The memory that all files share that are being read: the segments received last.

A stream keeps a few segments around its reader. Without a bound for all streams together, a program
that opens hundreds of files would make the gateway keep as many times that.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Protocol

MOST_SEGMENTS = 96
"""The most segments in memory, each of a MiB: as many as eight streams at full speed keep."""


class Keeper(Protocol):
    """A stream that keeps segments."""

    def drop(self, index: int) -> None:
        """Discard a segment; it is received again if it is needed again."""


class ReadMemory:
    """The segments of all streams, in the order of their receipt; any thread may call."""

    def __init__(self, most: int = MOST_SEGMENTS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Keeper, int], None] = OrderedDict()

    def __len__(self) -> int:
        """Return how many segments are kept."""
        with self._lock:
            return len(self._kept)

    def add(self, stream: Keeper, index: int) -> list[tuple[Keeper, int]]:
        """Count a segment that a stream keeps; return the oldest ones if there are too many.

        The caller calls `drop` for these when it no longer holds a lock of its own stream.
        """
        with self._lock:
            self._kept[stream, index] = None
            self._kept.move_to_end((stream, index))
            over = len(self._kept) - self._most
            return [self._kept.popitem(last=False)[0] for _ in range(over)]

    def remove(self, stream: Keeper, *indexes: int) -> None:
        """Count segments no longer, which a stream has discarded."""
        with self._lock:
            for index in indexes:
                self._kept.pop((stream, index), None)
