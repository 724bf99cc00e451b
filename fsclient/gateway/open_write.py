"""One file while a client writes it: what was written, and what becomes of it.

It is staged on this machine and becomes one new version when the last handle that writes it is
closed. While it is written from its beginning to its end, as most are, what is there already is
sealed and sent beside it, so that little is left to be done at the close; the server has nothing of
it under any name until then. If its client goes away before, it is forgotten.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass

from fsclient.gateway.paths import GatewayPath
from fsclient.gateway.read_stream import ReadStream
from fsclient.gateway.staging import Staged
from fsclient.transfer.local.files import LocalStat
from fsclient.transfer.up.stream import StreamedFile
from fsclient.tree.nodes import TreeNode
from fsproto.errors import FsError, SourceChangedError
from fsproto.sealed.manifest import Mode

EARLY = 4 << 20
"""Bytes from the beginning on after which a file is sent while it is still written."""


@dataclass(frozen=True)
class SentContent:
    """Content that the server has, and for which version of the file it was sealed."""

    streamed: StreamedFile
    version: int


@dataclass
class EarlyUpload:
    """What is sent while a file is still written."""

    source: WrittenSource
    result: Future[SentContent]


class OpenWrite:
    """What one client writes to one file; any thread may use it."""

    def __init__(
        self,
        place: GatewayPath,
        base: TreeNode | None,
        staged: Staged,
        *,
        fresh: bool,
        under: ReadStream | None = None,
    ) -> None:
        """Take where it is, the version it goes out from if there is one, and its content so far.

        `fresh`: nothing of that version stays, so that it is a change even if nothing is written.
        `under` is what the content so far is read from.
        """
        self._under = under
        self.place = place
        self.base = base
        self.change = threading.Condition()
        self.writers = self.readers = 0
        self.closing = False
        """The last handle that writes it was closed; it is becoming a version."""
        self.orphaned = False
        """It was removed while it was open: what is written is of no use to anybody."""
        self.failed: FsError | None = None
        """Why something could not be written: nobody is to take the rest for all of it."""
        self.early: EarlyUpload | None = None
        self.dirty = self.fresh = fresh
        self.described = False
        self.mtime_ns: int | None = None
        """As the client has set it."""
        self.mode = base.metadata.mode if base else Mode.REGULAR
        self._staged = staged
        self._solid = 0
        """Bytes from the beginning on that were written without a gap."""
        self._changed_ns = base.metadata.mtime_ns if base and not fresh else time.time_ns()

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._staged.size

    @property
    def time_ns(self) -> int:
        """When it was changed last."""
        return self._changed_ns if self.mtime_ns is None else self.mtime_ns

    @property
    def is_early(self) -> bool:
        """Return whether it could be sent while it is written, and has not begun to be."""
        return self.fresh and self.early is None and self._solid >= EARLY

    def read(self, offset: int, length: int) -> bytes:
        """Return what is there now."""
        with self.change:
            return self._staged.read(offset, length)

    def write(self, offset: int | None, data: bytes | memoryview) -> None:
        """Write at an offset; None is the end."""
        with self.change:
            start = self._staged.size if offset is None else offset
            self._staged.write(start, data)
            if start <= self._solid:
                self._spoil_before(start)
                self._solid = max(self._solid, start + len(data))
            self._changed()

    def truncate(self, size: int) -> None:
        """Cut it off, or fill it up with zeros."""
        with self.change:
            if size != self._staged.size:
                self._spoil_before(size)
                self._staged.truncate(size)
                self._solid = min(self._solid, size)
                self._changed()

    def describe(self, mtime_ns: int | None, mode: Mode | None) -> None:
        """Set its time and mode."""
        with self.change:
            if mtime_ns is not None:
                self.mtime_ns = mtime_ns
            if mode is not None and self.mode is not Mode.SYMLINK:
                self.mode = mode
            self.described = True

    def source(self) -> WrittenSource:
        """Return a reader of it from its beginning on, which waits for what is not there yet."""
        return WrittenSource(self)

    def give_up_early(self) -> EarlyUpload | None:
        """End what is sent ahead, if anything is; return it."""
        with self.change:
            early, self.early = self.early, None
            if early is not None:
                early.source.spoiled = True
                self.change.notify_all()
        return early

    def published(self, found: TreeNode | None) -> None:
        """Note that what is there is a version now; what comes is for the next one."""
        with self.change:
            self.base, self.early = found, None
            self.dirty = self.fresh = self.described = False

    def close(self) -> None:
        """Forget what was written."""
        self.give_up_early()
        with self.change:
            self._staged.close()
            if self._under is not None:
                self._under.close()

    def _changed(self) -> None:
        self.dirty, self.mtime_ns = True, None
        self._changed_ns = time.time_ns()
        self.change.notify_all()

    def _spoil_before(self, offset: int) -> None:
        """What was read for sending is no longer so if it is written over."""
        if self.early is not None and offset < self.early.source.at:
            self.early.source.spoiled = True

    # --- for its source

    def read_solid(self, source: WrittenSource, room: memoryview) -> int:
        """Fill `room` with what comes next, waiting for it; less only where the file ends."""
        with self.change:
            while not (source.spoiled or source.finished or self._solid >= source.at + len(room)):
                self.change.wait()
            if source.spoiled:
                raise _written_over()
            count = self._staged.read_into(source.at, room)
            source.at += count
            return count


class WrittenSource:
    """A `Readable` of what is written, for a `Sending`."""

    def __init__(self, writing: OpenWrite) -> None:
        self._writing = writing
        self.at = 0
        """Up to where it was read."""
        self.spoiled = False
        """What was read was written over meanwhile."""
        self.finished = False
        """Nothing more is written."""
        # As of a pipe: that it ends is known when it does.
        self.facts = LocalStat(-1, writing.time_ns, writing.mode)

    def finish(self) -> None:
        """Say that all is written."""
        with self._writing.change:
            self.finished = True
            self._writing.change.notify_all()

    def read_into(self, room: memoryview) -> int:
        """Fill `room` with what comes next; `SourceChangedError` if that is of no use any more."""
        return self._writing.read_solid(self, room)

    def check_unchanged(self, size: int) -> None:
        """Raise `SourceChangedError` unless `size` bytes are all of it."""
        if self.spoiled or size != self._writing.size:
            raise _written_over()


def _written_over() -> SourceChangedError:
    return SourceChangedError("The file was written over while it was sent.")
