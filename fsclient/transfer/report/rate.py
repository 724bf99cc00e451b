"""How far a transfer is at one moment, and how fast it has been lately."""

from __future__ import annotations

from collections import deque

from fsproto.values import Value

LATELY_S = 10.0
"""What the rate is measured over: long enough to be steady, short enough to notice a stall."""
LONGEST_S = 100 * 3600.0
"""A time left that is longer than this says only that hardly anything moves."""


class FileSnapshot(Value, frozen=True):
    """How far one large file is."""

    name: str
    bytes: int
    size: int | None
    """None while nobody knows."""


class Snapshot(Value, frozen=True):
    """How far everything is."""

    verb: str
    files: int
    files_expected: int | None
    """None while nobody knows."""
    bytes: int
    bytes_expected: int | None
    """None while nobody knows."""
    seconds: float
    """Since the transfer began."""
    rate: float | None
    """Bytes a second, lately; None while it is too early to say."""
    under_way: tuple[FileSnapshot, ...]
    """Large files that have begun and not ended."""

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take at this rate; None if nobody can know, or will wait."""
        if self.rate is None or self.rate < 1 or self.bytes_expected is None:
            return None
        seconds = max(self.bytes_expected - self.bytes, 0) / self.rate
        return seconds if seconds < LONGEST_S else None


class RateMeter:
    """Measures how fast something grows, over the last seconds."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque([(0.0, 0)])

    def at(self, seconds: float, total: int) -> float | None:
        """Return the rate a second, now that so much time has passed and so much is there."""
        marks = self._marks
        marks.append((seconds, total))
        while len(marks) > 2 and marks[1][0] <= seconds - LATELY_S:  # noqa: PLR2004 - a span
            marks.popleft()
        (since, before), (now, there) = marks[0], marks[-1]
        return (there - before) / (now - since) if now > since else None
