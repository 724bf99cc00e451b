"""Snapshots of a transfer's progress, and its recent rate."""

from __future__ import annotations

from collections import deque

from fsproto.values import Value

LATELY_S = 10.0
"""Seconds the rate is measured over: long enough to be steady, short enough to show a stall."""
LONGEST_S = 100 * 3600.0
"""A longer remaining time is not shown: it only means that almost nothing moves."""


class FileSnapshot(Value, frozen=True):
    """The progress of one large file."""

    name: str
    bytes: int
    size: int | None
    """None if unknown."""


class Snapshot(Value, frozen=True):
    """The progress of the whole transfer."""

    verb: str
    files: int
    files_expected: int | None
    """None while unknown."""
    bytes: int
    bytes_expected: int | None
    """None while unknown."""
    seconds: float
    """Time since the transfer started."""
    rate: float | None
    """Recent bytes per second; None while it cannot be computed yet."""
    under_way: tuple[FileSnapshot, ...]
    """Large files in transfer."""

    @property
    def seconds_left(self) -> float | None:
        """Remaining time at this rate; None if unknown or longer than `LONGEST_S`."""
        if self.rate is None or self.rate < 1 or self.bytes_expected is None:
            return None
        seconds = max(self.bytes_expected - self.bytes, 0) / self.rate
        return seconds if seconds < LONGEST_S else None


class RateMeter:
    """A meter of the rate at which a total grew in the last seconds."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque([(0.0, 0)])

    def at(self, seconds: float, total: int) -> float | None:
        """Add a total at a time, and return the rate per second."""
        marks = self._marks
        marks.append((seconds, total))
        while len(marks) > 2 and marks[1][0] <= seconds - LATELY_S:  # noqa: PLR2004 - a span
            marks.popleft()
        (since, before), (now, there) = marks[0], marks[-1]
        return (there - before) / (now - since) if now > since else None
