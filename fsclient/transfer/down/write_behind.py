"""Writing of opened segments in order; after a failure no further segment is written."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from fsclient.transfer.report.progress import FileProgress
from fsclient.transfer.segments import Buffer, Buffers
from fsclient.transfer.workers import WorkerPool

if TYPE_CHECKING:
    from concurrent.futures import Future


class Writable(Protocol):
    """A target of plaintext."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Write all of the data."""


class WriteBehind:
    """A queue that writes one file's segments in a thread other than the receiving one."""

    def __init__(
        self, target: Writable, moving: FileProgress, buffers: Buffers, thread: WorkerPool | None
    ) -> None:
        """Create a queue for `target`; `thread` is a pool with one thread that writes.

        Without `thread`, `see_to_first` writes the segment itself.
        """
        self._target = target
        self._moving = moving
        self._buffers = buffers
        self._thread = thread
        self._window: deque[tuple[Buffer, Future[memoryview], Future[None] | None]] = deque()
        self._broken = False

    def __len__(self) -> int:
        """Return how many segments are still queued."""
        return len(self._window)

    def add(self, buffer: Buffer, opened: Future[memoryview]) -> None:
        """Queue a segment; it is written after those before it, once it is opened."""
        written = self._thread.submit(self._write, opened) if self._thread else None
        self._window.append((buffer, opened, written))

    def see_to_first(self) -> None:
        """Wait until the oldest queued segment is written; raise its error, if any."""
        buffer, opened, written = self._window.popleft()
        if written is None:
            self._write(opened)
        else:
            written.result()
        self._buffers.give_back(buffer)

    def finish(self) -> None:
        """Wait until all queued segments are written."""
        while self._window:
            self.see_to_first()

    def stop(self) -> None:
        """Cancel all queued writes; afterwards the target may be closed."""
        # The last write first: else it could start after the write before it was cancelled.
        for _, _, written in reversed(self._window):
            if written is not None and not written.cancel():
                written.exception()

    def _write(self, opened: Future[memoryview]) -> None:
        if self._broken:
            return
        self._broken = True  # until the segment is fully written
        plain = opened.result()
        self._target.write(plain)
        self._moving.advance(len(plain))
        self._broken = False
