"""One file while a client writes it, from the first write to its publication.

The file is staged on this machine and becomes one new version when the last writing handle is
closed. If it is written sequentially, as most files are, the gateway seals and sends the data
concurrently, so that the close is short. Until the close, the server has the data under no name. If
the client disconnects before the close, the data is discarded.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

from fsclient.gateway.paths import GatewayPath
from fsclient.gateway.read_stream import ReadStream
from fsclient.gateway.staging import Staged
from fsclient.transfer.local.files import LocalStat
from fsclient.transfer.up.stream import StreamedFile
from fsclient.tree.nodes import TreeNode
from fskit.text import size_text
from fsproto.errors import FsError, OutOfSpaceError, SourceChangedError
from fsproto.sealed.manifest import Mode

EARLY = 4 << 20
"""Bytes written sequentially after which an early upload of the file starts."""
MOST_HOLES = 1 << 30
"""The most bytes of a file (1 GiB) that are sealed and sent although they were never written."""


@dataclass(frozen=True)
class SentContent:
    """Uploaded content, and the version of the file for which it was sealed."""

    streamed: StreamedFile
    version: int


class Changes(NamedTuple):
    """How often a file was changed until some moment."""

    written: int
    described: int


@dataclass
class EarlyUpload:
    """An upload that runs while the file is still written."""

    source: WrittenSource
    result: Future[SentContent]


class OpenWrite:
    """One file that one client writes; any thread may use it."""

    def __init__(
        self,
        place: GatewayPath,
        base: TreeNode | None,
        staged: Staged,
        *,
        fresh: bool,
        under: ReadStream | None = None,
    ) -> None:
        """`base` is the version that the client changes, if there is one.

        `staged` is the present content, and `under` the stream that reads the base version. With
        `fresh`, nothing of `base` remains, so the file counts as changed without any write.
        """
        self._under = under
        self.place = place
        self.base = base
        self.change = threading.Condition()
        self.writers = self.readers = 0
        self.closing = False
        """The last writing handle was closed; the file is being published."""
        self.syncing = 0
        """Requests to publish it that are not answered yet, while it stays open."""
        self.orphaned = False
        """The file was removed while it was open: its data is not published."""
        self.failed: FsError | None = None
        """Why a write failed: an incomplete file must not be published."""
        self.early: EarlyUpload | None = None
        self.fresh = fresh
        self.publishing = threading.Lock()
        """Held while a version is made, so that a close waits for an fsync before it."""
        self._written = int(fresh)
        self._described = 0
        """Number of changes of the content, and of time and mode."""
        self._published = Changes(0, 0)
        self.mtime_ns: int | None = None
        """The time that the client has set; None if it has set none."""
        self.mode = base.metadata.mode if base else Mode.REGULAR
        self._staged = staged
        self._solid = 0
        """Bytes from the start that were written without a gap."""
        self._changed_ns = base.metadata.mtime_ns if base and not fresh else time.time_ns()

    @property
    def changes(self) -> Changes:
        """The changes so far."""
        with self.change:
            return Changes(self._written, self._described)

    @property
    def is_dirty(self) -> bool:
        """Return whether the content was changed since it was published."""
        return self._written != self._published.written

    @property
    def is_described(self) -> bool:
        """Return whether time or mode were set since they were published."""
        return self._described != self._published.described

    @property
    def is_publishing(self) -> bool:
        """Return whether a version is being made of it."""
        return self.closing or self.syncing > 0

    @property
    def is_unused(self) -> bool:
        """Return whether no handle and no publication needs the content."""
        return not (self.writers or self.readers or self.is_publishing)

    @property
    def size(self) -> int:
        """The size so far, in bytes."""
        return self._staged.size

    def check_holes(self) -> None:
        """Raise `OutOfSpaceError` if too many bytes were never written and have no base either."""
        with self.change:
            holes = self._staged.holes
        if holes > MOST_HOLES:
            raise OutOfSpaceError(
                f"'{self.place}' was not put: {size_text(holes)} of it were never written, and "
                "sealed files have no holes.",
                hint="Write the file without holes, or pack it first.",
            )

    @property
    def time_ns(self) -> int:
        """The time of the last change."""
        return self._changed_ns if self.mtime_ns is None else self.mtime_ns

    @property
    def is_early(self) -> bool:
        """Return whether an early upload is possible and has not started."""
        return self.fresh and self.early is None and self._solid >= EARLY

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes of the current content."""
        with self.change:
            return self._staged.read(offset, length)

    def write(self, offset: int | None, data: bytes | memoryview) -> None:
        """Write at an offset; None appends."""
        with self.change:
            start = self._staged.size if offset is None else offset
            self._staged.write(start, data)
            if start <= self._solid:
                self._spoil_before(start)
                self._solid = max(self._solid, start + len(data))
            self._changed()

    def truncate(self, size: int) -> None:
        """Shorten the file, or extend it with zeros."""
        with self.change:
            if size != self._staged.size:
                self._spoil_before(size)
                self._staged.truncate(size)
                self._solid = min(self._solid, size)
                self._changed()
            else:  # as on Linux, this changes the time alone
                self.mtime_ns, self._changed_ns = None, time.time_ns()
                self._described += 1

    def describe(self, mtime_ns: int | None, mode: Mode | None) -> None:
        """Set the file's time and mode."""
        with self.change:
            if mtime_ns is not None:
                self.mtime_ns = mtime_ns
            if mode is not None and self.mode is not Mode.SYMLINK:
                self.mode = mode
            self._described += 1

    def source(self) -> WrittenSource:
        """Return a reader from the start of the file that waits for data not yet written."""
        return WrittenSource(self)

    def give_up_early(self) -> EarlyUpload | None:
        """Stop the early upload, if there is one; return it."""
        with self.change:
            early, self.early = self.early, None
            if early is not None:
                early.source.spoiled = True
                self.change.notify_all()
        return early

    def replaces(self, base: TreeNode | None) -> None:
        """Record that a rename has given the file the path of another version, or a free one."""
        with self.change:
            self.base = base
            self.fresh = True
            self._written += 1

    def published(self, found: TreeNode | None, changes: Changes) -> None:
        """Record that `changes` are published; later ones belong to the next version."""
        with self.change:
            self.base, self.early = found, None
            self.fresh = False
            self._published = changes

    def close(self) -> None:
        """Discard the data."""
        self.give_up_early()
        with self.change:
            self._staged.close()
            if self._under is not None:
                self._under.close()

    def _changed(self) -> None:
        self._written += 1
        self.mtime_ns = None
        self._changed_ns = time.time_ns()
        self.change.notify_all()

    def _spoil_before(self, offset: int) -> None:
        """Mark the early upload as outdated if a write changes data that it has read."""
        if self.early is not None and offset < self.early.source.at:
            self.early.source.spoiled = True

    # --- for its source

    def read_solid(self, source: WrittenSource, room: memoryview) -> int:
        """Fill `room` with the next bytes, waiting for them; less only at the end of the file."""
        with self.change:
            while not (source.spoiled or source.finished or self._solid >= source.at + len(room)):
                self.change.wait()
            if source.spoiled:
                raise _written_over()
            count = self._staged.read_into(source.at, room)
            source.at += count
            return count


class WrittenSource:
    """The file that is being written, as the source of an upload."""

    def __init__(self, writing: OpenWrite) -> None:
        self._writing = writing
        self.at = 0
        """The offset up to which it was read."""
        self.spoiled = False
        """Data that was already read was overwritten."""
        self.finished = False
        """The writer has finished."""
        # The size is unknown until the end, as for a pipe.
        self.facts = LocalStat(-1, writing.time_ns, writing.mode)

    def finish(self) -> None:
        """Signal that all data is written."""
        with self._writing.change:
            self.finished = True
            self._writing.change.notify_all()

    def read_into(self, room: memoryview) -> int:
        """Fill `room` with the next bytes; raise `SourceChangedError` if the upload is outdated."""
        return self._writing.read_solid(self, room)

    def check_unchanged(self, size: int) -> None:
        """Raise `SourceChangedError` unless the file has exactly `size` bytes."""
        if self.spoiled or size != self._writing.size:
            raise _written_over()


def _written_over() -> SourceChangedError:
    return SourceChangedError("The file was overwritten while it was sent.")
