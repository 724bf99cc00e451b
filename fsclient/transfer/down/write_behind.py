"""Opened segments on their way into their target: in order, and none behind one that is missing."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from fsclient.transfer.report.progress import FileProgress
from fsclient.transfer.segments import Buffer, Buffers
from fsclient.transfer.workers import WorkerPool

if TYPE_CHECKING:
    from concurrent.futures import Future


class Writable(Protocol):
    """Where plaintext goes."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take all of the data."""


class WriteBehind:
    """One file while it is written, in another thread than the one that receives it."""

    def __init__(
        self, target: Writable, moving: FileProgress, buffers: Buffers, thread: WorkerPool | None
    ) -> None:
        """Take where it goes, whom to tell, where memory goes back to, and one thread that writes.

        Without that, a segment is written when it is seen to.
        """
        self._target = target
        self._moving = moving
        self._buffers = buffers
        self._thread = thread
        self._window: deque[tuple[Buffer, Future[memoryview], Future[None] | None]] = deque()
        self._broken = False

    def __len__(self) -> int:
        """Return how many segments were added and not seen to."""
        return len(self._window)

    def add(self, buffer: Buffer, opened: Future[memoryview]) -> None:
        """Have a segment written behind those before it, once it was opened in its buffer."""
        written = self._thread.submit(self._write, opened) if self._thread else None
        self._window.append((buffer, opened, written))

    def see_to_first(self) -> None:
        """Wait until the segment that was added first is written; raises what went wrong."""
        buffer, opened, written = self._window.popleft()
        if written is None:
            self._write(opened)
        else:
            written.result()
        self._buffers.give_back(buffer)

    def finish(self) -> None:
        """Wait until all are."""
        while self._window:
            self.see_to_first()

    def stop(self) -> None:
        """Write nothing more; the target may be closed then."""
        # The last one first, or it might begin when the one before it had been called off.
        for _, _, written in reversed(self._window):
            if written is not None and not written.cancel():
                written.exception()

    def _write(self, opened: Future[memoryview]) -> None:
        if self._broken:
            return
        self._broken = True  # until all of it was written
        plain = opened.result()
        self._target.write(plain)
        self._moving.advance(len(plain))
        self._broken = False
