"""Upload of one file as a stream, resumed over a new connection when one is lost.

Resuming seals segments a second time under the same key and nonce. A segment is sent again only if
it is identical to the first one: the client records each leaf before it sends the segment, and
compares the leaf before it sends the segment again. If a leaf differs, or if the server has more
segments than were recorded, the upload starts over with a new file key.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from fsclient.connection.connection import ServerConnection
from fsclient.connection.retry import WORTH_KEEPING
from fsclient.session.session import Session
from fsclient.transfer.journal import FORMAT, Journal, UploadRecord
from fsclient.transfer.local.source import Source
from fsclient.transfer.report.progress import FileProgress
from fsclient.transfer.segments import Buffers, PlaintextSource, segments
from fsclient.transfer.up.encrypt import FileEncryption, SealedSegment
from fsclient.transfer.workers import WorkerPool
from fsclient.tree.nodes import TreeNode
from fsproto.errors import FsError, IntegrityError, RemoteProtocolError, Unreachable
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.messages.base import Done
from fsproto.messages.files import Kept, Resume, Room, Upload, UploadAbort, UploadEnd
from fsproto.sealed import integrity, stream
from fsproto.types import NodeId, Root
from fsproto.values import Value

if TYPE_CHECKING:
    from concurrent.futures import Future

AHEAD = 4
"""Segments that are sealed ahead of the one being sent."""
THREADS = 2


class SealingWorkers:
    """The threads that seal segments, and their buffers."""

    def __init__(self) -> None:
        self.threads = WorkerPool(THREADS, "seal")
        self.buffers = Buffers()

    def close(self) -> None:
        """Stop the threads."""
        self.threads.close()


class StreamedFile(Value, frozen=True):
    """A fully uploaded file: node, keys, size in plaintext bytes, and root."""

    node: KeyedNode
    sealing: FileEncryption
    size: int
    root: Root


class _NotTheSameError(Exception):
    """The file differs from the content sealed earlier; its keys must not be used again."""


class StreamUpload:
    """The upload of one file as a stream."""

    def __init__(
        self,
        session: Session,
        moving: FileProgress,
        workshop: SealingWorkers,
        *,
        source: PlaintextSource,
        journal: Journal | None,
        before: TreeNode | None,
        folder: NodeId | None,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare to upload `source` as a new file, or as the next version of `before`.

        If `journal` records an earlier attempt, the local file is first compared with the recorded
        leaves. `folder` is a folder in the target tree if that belongs to another user. `between`
        is called after each segment; it may send other requests.
        """
        self._between = between
        self._session = session
        self._moving = moving
        self._workshop = workshop
        self._source = source
        self._journal = journal
        self._node = before.keyed if before else new_node(os.urandom)
        self._version = before.manifest.body.version + 1 if before else 1
        plain = source.facts.size
        self._room = Room(
            folder,
            before.keyed.node if before else None,
            stream.sealed_size(plain) if plain >= 0 else None,
        )
        self._resumable = (
            isinstance(source, Source)
            and source.facts.size >= WORTH_KEEPING
            and session.retry.resumes
        )
        self._leaves: list[bytes] = []
        """Leaves of the segments that were, or were about to be, sent."""
        self._told = 0
        """Number of segments that are counted in the progress."""
        self._kept = 0
        """The highest number of segments that the server has reported."""
        self._continued = self._started_over = False
        self._sealing = self._begun(before) or self._anew()

    def run(self) -> StreamedFile:
        """Send the whole file; raise `SourceChangedError` if it changes during the upload."""
        while True:
            connection = self._session.connection
            try:
                return self._over(connection)
            except Unreachable as lost:
                if not isinstance(self._source, Source):
                    lost.hint = "What came through a pipe cannot be read again: run it all again."
                    raise
                if connection is self._session.connection:  # else it was replaced already
                    self._session.retry.recover(lost)
            except _NotTheSameError:
                if self._started_over:
                    raise RemoteProtocolError(
                        "The server reports more segments of an upload than were sent."
                    ) from None
                self._started_over = True
                self._sealing = self._anew()

    # --- keys

    def _anew(self) -> FileEncryption:
        """Generate unused keys, and forget all segments sealed with earlier ones."""
        sealing = FileEncryption.new(self._node.node, self._version)
        self._leaves, self._kept = [], 0
        if self._journal is not None:
            self._journal.begin(
                UploadRecord(
                    format=FORMAT,
                    facts=self._journal.facts,
                    node=self._node.node,
                    generation=self._node.generation,
                    node_key=self._node.key,
                    version=self._version,
                    file_key=sealing.file_key,
                    salt=sealing.salt,
                )
            )
        return sealing

    def _begun(self, before: TreeNode | None) -> FileEncryption | None:
        """Return the keys of an interrupted upload if it was of this same file."""
        record = self._journal.record if self._journal else None
        if self._journal is None or record is None or record.version != self._version:
            return None
        if not self._journal.leaves:
            return None  # no segment was sent, so there is nothing to resume
        node = KeyedNode(record.node, record.generation, record.node_key)
        if before is not None:
            if (node.node, node.generation, node.key) != _of(self._node):
                return None
            node = self._node  # with the keys it had before
        sealing = FileEncryption(node.node, self._version, record.file_key, record.salt)
        self._leaves = list(self._journal.leaves)
        self._node = node
        if self._is_same(sealing):
            return sealing
        connection = self._session.connection
        with suppress(Unreachable):  # the next request notices the lost connection
            request = connection.send(Upload(sealing.salt, resumable=True, room=self._room))
            connection.go_on(request, UploadAbort())
        return None

    def _is_same(self, sealing: FileEncryption) -> bool:
        """Seal the recorded segments again and compare their leaves."""
        if len(self._leaves) > stream.segment_count(self._source.facts.size):
            return False
        for done in islice(self._sealed(sealing, 0), len(self._leaves)):
            if done.leaf != self._leaves[done.index]:
                return False
            self._tell(done)
        return True

    # --- sending

    def _over(self, connection: ServerConnection) -> StreamedFile:
        request, first = self._open(connection)
        plain = self._go_to(first)
        try:
            for done in self._sealed(self._sealing, first):
                self._note(done)
                connection.send_segment(request, done.index, done.record)
                plain += done.plain_size
                self._tell(done)
                self._between()
            self._source.check_unchanged(plain)
        except (FsError, _NotTheSameError):
            self._abort(connection, request)
            raise
        size = stream.sealed_size(plain)
        root = integrity.root(self._sealing.salt, self._leaves, size)
        connection.go_on(request, UploadEnd(root, size))
        try:
            connection.answer(request, Done, slow=True)
        except IntegrityError:
            if self._continued:  # the segments kept by the server may be damaged
                raise _NotTheSameError from None
            raise
        self._session.retry.progressed()
        return StreamedFile(self._node, self._sealing, plain, root)

    def _open(self, connection: ServerConnection) -> tuple[int, int]:
        """Start or resume; return the request number and the first segment to send."""
        self._continued = False
        if self._resumable and self._leaves:
            request = connection.send(Resume(self._sealing.salt, self._room))
            kept = connection.answer(request, Kept, slow=True)
            there = kept.segments
            all_of_it = stream.segment_count(self._source.facts.size)
            if there < 0:
                raise RemoteProtocolError("The server reported a negative number of segments.")
            if there > len(self._leaves) or (kept.whole and there != all_of_it):
                if there:
                    self._abort(connection, request)
                raise _NotTheSameError
            if there > self._kept:
                self._kept = there
                self._session.retry.progressed()
            if there:
                self._continued = True
                return request, there
        return connection.send(Upload(self._sealing.salt, self._resumable, self._room)), 0

    def _go_to(self, first: int) -> int:
        """Seek to a segment's start in the source; return its offset in bytes."""
        at = min(stream.plain_start(first), max(self._source.facts.size, 0))
        if isinstance(self._source, Source):
            self._source.go_to(at)
        return at

    def _sealed(self, sealing: FileEncryption, first: int) -> Iterator[SealedSegment]:
        """Yield sealed segments in order; threads seal a few of them ahead."""
        if first and first >= stream.segment_count(self._source.facts.size):
            return
        shop = self._workshop
        window: deque[Future[SealedSegment]] = deque()
        for segment in segments(self._source.read_into, shop.buffers.take, first):
            window.append(shop.threads.submit(sealing.seal, segment))
            if len(window) > AHEAD:
                yield (done := window.popleft().result())
                shop.buffers.give_back(done.buffer)
        while window:
            yield (done := window.popleft().result())
            shop.buffers.give_back(done.buffer)

    def _note(self, done: SealedSegment) -> None:
        """Record a segment's leaf before it is sent; a segment sent again must be identical."""
        if done.index < len(self._leaves):
            if done.leaf != self._leaves[done.index]:
                raise _NotTheSameError
            return
        if self._journal is not None:
            self._journal.append(done.leaf)
        self._leaves.append(done.leaf)

    def _tell(self, done: SealedSegment) -> None:
        if done.index >= self._told:
            self._told = done.index + 1
            self._moving.advance(done.plain_size)

    def _abort(self, connection: ServerConnection, request: int) -> None:
        if connection.usable:
            with suppress(FsError):  # the caller raises the first failure
                connection.go_on(request, UploadAbort())


def _of(keyed: KeyedNode) -> tuple[bytes, int, bytes]:
    return keyed.node, keyed.generation, keyed.key
