"""Upload of files: small ones together in one commit, large ones as streams."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from fsclient.connection.retry import WORTH_KEEPING, can_go_on
from fsclient.session.session import Session
from fsclient.transfer.journal import Journal, Journals
from fsclient.transfer.local.files import LocalStat
from fsclient.transfer.local.source import Source
from fsclient.transfer.report.progress import FileProgress, Progress
from fsclient.transfer.segments import PlaintextSource
from fsclient.transfer.up.encrypt import FileEncryption
from fsclient.transfer.up.stream import SealingWorkers, StreamedFile, StreamUpload
from fsclient.tree.commit import Committer
from fsclient.tree.draft import NextVersion
from fsclient.tree.nodes import TreeNode
from fsproto.errors import FsError, InternalError, SecurityError
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.limits import MAX_INLINE_BLOB, RECORDS_AHEAD
from fsproto.messages.files import InlineBlob
from fsproto.sealed import integrity, stream
from fsproto.sealed.manifest import Dropped, DroppedMetadata, Metadata
from fsproto.types import NodeId, Root
from fsproto.values import Value

BATCH_BYTES = 900_000
BATCH_CHANGES = 400
COMMITS_AHEAD = RECORDS_AHEAD
"""Commits that may be unanswered while the next one is prepared. This hides the round trip to a
distant server and occasional slow disk writes."""
FLUSH_AFTER_BYTES = 64 << 20
"""Commit after this many streamed bytes, so that an interruption costs little."""
FLUSH_AFTER_S = 5.0
"""Commit a change after this many seconds at the latest, while the upload continues."""
_INLINE_PLAIN = MAX_INLINE_BLOB - stream.HEADER_SIZE - stream.TAG_SIZE


class NotCommittedError(Exception):
    """A failed commit, and with it all its files; errors of one file are raised unchanged."""

    def __init__(self, error: FsError, files: int) -> None:
        """Take the error, and how many files were not put because of it."""
        super().__init__(error.sentence)
        self.error = error
        self.files = files


class FileTarget(Value, frozen=True):
    """Where a file is put, as for `BatchUploader.put`."""

    parent: KeyedNode
    name: str
    before: TreeNode | None
    instead: TreeNode | None = None
    dropped: Dropped | None = None
    committed: Callable[[Root, NodeId], None] | None = None


@dataclass
class _Batch:
    """Changes that are committed together."""

    changes: Committer
    files: int = 0
    streamed: int = 0
    """Bytes of the files sent as streams."""
    journals: list[Journal] = field(default_factory=list)
    """Upload journals of the files, until they are committed."""
    committed: list[Callable[[], None]] = field(default_factory=list)
    """What to call after the commit."""
    due: float | None = None
    """When the batch must be committed, by the monotonic clock; None while it is empty."""

    @property
    def is_full(self) -> bool:
        """Return whether the batch has reached the limits of one commit."""
        return (
            self.changes.size > BATCH_BYTES
            or len(self.changes) >= BATCH_CHANGES
            or self.streamed > FLUSH_AFTER_BYTES
        )

    def is_due(self) -> bool:
        """Return whether the first change has waited for `FLUSH_AFTER_S`."""
        if self.due is None and len(self.changes):
            self.due = time.monotonic() + FLUSH_AFTER_S
        return self.due is not None and time.monotonic() >= self.due

    @contextmanager
    def together(self) -> Iterator[None]:
        """Raise an error in the block as `NotCommittedError` for the whole batch."""
        try:
            yield
        except FsError as error:
            if not can_go_on(error):
                with suppress(FsError):  # the first error is the one to show
                    self.remove_journals()
            raise NotCommittedError(error, 0 if self.changes.is_made else self.files) from error

    def remove_journals(self) -> None:
        """Delete the journals: there is nothing left to resume."""
        journals, self.journals = self.journals, []
        for journal in journals:
            journal.remove()


class BatchUploader:
    """An uploader that puts files into folders and commits them in batches.

    With a session that caches (`Session.caching`), a batch does not ask for what was just seen.
    """

    def __init__(
        self, session: Session, progress: Progress, journals: Journals | None = None
    ) -> None:
        self._session = session
        self._progress = progress
        self._workshop = SealingWorkers()
        self._journals = journals
        self._batch = self._next_batch()
        self._made: dict[NodeId, NodeId] = {}
        """Folders that earlier batches created, each with its parent folder."""
        self._sent: deque[_Batch] = deque()
        """Batches that are sent but not yet answered, oldest first."""
        self._streaming: Journal | None = None
        """The journal of the file whose segments are being sent."""

    def close(self) -> None:
        """Stop the threads; uncommitted files that have a journal can be resumed."""
        self._workshop.close()
        kept = [journal for batch in (*self._sent, self._batch) for journal in batch.journals]
        for journal in [*kept, self._streaming] if self._streaming else kept:
            self.keep(journal)

    def keep(self, journal: Journal) -> None:
        """Close a journal, from which the next command resumes."""
        if journal.is_open and journal.leaves:
            self._session.retry.unfinished = True
        journal.close()

    @property
    def changes(self) -> Committer:
        """The changes that are committed with the next batch."""
        return self._batch.changes

    def _next_batch(self) -> _Batch:
        return _Batch(Committer(self._session.tree))

    def put(
        self,
        parent: KeyedNode,
        name: str,
        before: TreeNode | None,
        source: PlaintextSource,
        instead: TreeNode | None = None,
        *,
        path: object = "",
        dropped: Dropped | None = None,
        committed: Callable[[Root, NodeId], None] | None = None,
    ) -> None:
        """Seal a file and send it; it is in its folder after the next `flush`.

        The file is the next version of `before`, or replaces the folder `instead`. Progress reports
        show `path`, or `name` if `path` is empty. `dropped` is the origin of content that came
        through the drop box. `committed` is called after the commit, with the root of the content
        and the file's node.
        """
        target = FileTarget(parent, name, before, instead, dropped, committed)
        self.put_at(target, source, path or name)

    def put_at(self, target: FileTarget, source: PlaintextSource, path: object) -> None:
        """Do the same; progress reports show `path`."""
        facts, inline = source.facts, None
        if 0 <= facts.size <= _INLINE_PLAIN:
            sent, inline = self._sealed_whole(target.before, source)
        else:
            with self._progress.begin_file(str(path), facts.size) as moving:
                sent = self._stream(target, source, moving)
        self.enter(target, facts, sent, inline=inline)

    def _sealed_whole(
        self, before: TreeNode | None, source: PlaintextSource
    ) -> tuple[StreamedFile, InlineBlob]:
        """Seal a small file in one piece; it travels in its commit."""
        file = before.keyed if before else new_node(os.urandom)
        version = before.manifest.body.version + 1 if before else 1
        room = memoryview(bytearray(source.facts.size + 1))
        sealing = FileEncryption.new(file.node, version)
        data = bytes(room[: source.read_into(room)])
        source.check_unchanged(len(data))
        inline = InlineBlob(sealing.salt, sealing.sealer.seal(0, data, last=True))
        root = integrity.blob_root(sealing.salt, inline.data)
        self._progress.advance(len(data))
        return StreamedFile(file, sealing, len(data), root), inline

    def enter(
        self,
        target: FileTarget,
        facts: LocalStat,
        sent: StreamedFile,
        *,
        inline: InlineBlob | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Enter a file in its folder whose content is at the server, or in `inline`.

        `facts` has its time and mode; `journal` is removed after the commit.
        """
        before, dropped = target.before, target.dropped
        if inline is None:
            self._batch.streamed += sent.size
        if journal is not None:
            self._batch.journals.append(journal)
        said = target.name, sent.size, facts.mtime_ns, facts.mode, sent.sealing.file_key
        metadata = Metadata(*said) if dropped is None else DroppedMetadata(*said, dropped)
        manifest = before.manifest if before else None
        version = before.manifest.body.version + 1 if before else 1
        content = sent.sealing.content(version, sent.root, sent.size)
        version_after = NextVersion(sent.node, manifest, metadata, content)
        self.changes.put_file(target.parent, version_after, inline, target.instead)
        self._batch.files += 1
        if target.committed is not None:
            self.when_committed(partial(target.committed, sent.root, sent.node.node))
        self.flush_if_full()

    def when_committed(self, call: Callable[[], None]) -> None:
        """Call something after the commit of the changes so far."""
        self._batch.committed.append(call)

    def flush_if_full(self) -> None:
        """Send the batch if it has reached the limits of one commit, or has waited long enough."""
        if self._batch.is_full or self._batch.is_due():
            self._send()

    def flush(self) -> None:
        """Commit all files so far and wait until the server has confirmed them."""
        self._send()
        self._finish(leave=0)

    def flush_after(self, error: BaseException) -> None:
        """Commit the files that have arrived before an error or an interruption ends the command.

        An interruption may have cut a message, so it needs a new connection. Further failures are
        ignored: the user sees `error`.
        """
        if not any(len(batch.changes) for batch in (*self._sent, self._batch)):
            return
        with suppress(FsError, NotCommittedError):
            if isinstance(error, KeyboardInterrupt | SystemExit):
                self._session.retry.reconnect_briefly()
                self.flush()
            elif _leaves_connection(error) and self._session.connection.usable:
                self.flush()

    def _send(self) -> None:
        """Send the batch, then wait for older batches until few are unanswered."""
        if any(batch.changes.is_unsure for batch in self._sent):
            self._finish(leave=0)
        try:
            with self._batch.together():
                self._batch.changes.send()
        except NotCommittedError as failed:
            self._see_to_others(failed)
            raise
        self._made |= self._batch.changes.above
        self._sent.append(self._batch)
        self._batch = self._next_batch()
        self._finish(leave=COMMITS_AHEAD)

    def _finish(self, *, leave: int) -> None:
        """Wait for sent batches, oldest first, until at most `leave` are unanswered."""
        while len(self._sent) > leave:
            try:
                self._finish_first()
            except NotCommittedError as failed:
                self._see_to_others(failed)
                raise

    def _finish_first(self) -> None:
        batch = self._sent[0]
        try:
            with batch.together():
                batch.changes.finish()
        except NotCommittedError as failed:
            if not can_go_on(failed.error):
                self._sent.popleft()
            raise
        self._sent.popleft()
        batch.remove_journals()
        for call in batch.committed:
            call()
        for _ in range(batch.files):
            self._progress.file_done()

    def _see_to_others(self, failed: NotCommittedError) -> None:
        """Wait for all other sent batches after one has failed, to learn which are committed.

        Stop if the connection is lost or a security check failed.
        """
        while self._sent and not can_go_on(failed.error):
            if isinstance(failed.error, SecurityError):
                return
            try:
                self._finish_first()
            except NotCommittedError as another:
                failed = another

    def _stream(
        self, target: FileTarget, source: PlaintextSource, moving: FileProgress
    ) -> StreamedFile:
        """Send a file as a stream; resume an earlier upload if its journal allows it."""
        known = self._streaming = self.journal_for(target, source)
        try:
            done = StreamUpload(
                self._session,
                moving,
                self._workshop,
                source=source,
                journal=known,
                before=target.before,
                folder=self.folder_for(target.parent),
                between=self.flush_if_full,
            ).run()
        except FsError as error:
            if known is not None and not can_go_on(error):
                known.remove()
            if isinstance(error, InternalError) and isinstance(source, Source):
                raise InternalError(f"'{source}': {error.sentence}", hint=error.hint) from error
            raise
        if known is not None:  # not earlier: a batch that is committed removes its journals
            self._batch.journals.append(known)
        self._streaming = None
        return done

    def journal_for(self, target: FileTarget, source: PlaintextSource) -> Journal | None:
        """Return the journal for uploading a file as a stream, if there can be one."""
        if self._journals is None or not isinstance(source, Source):
            return None
        parent = target.parent
        # A journal is found by its folder's node, so commit a new folder before the upload.
        if source.facts.size >= WORTH_KEEPING and self.changes.makes(parent.node):
            self._send()
        return self._journals.open(parent.node, parent.token(target.name), source)

    def folder_for(self, parent: KeyedNode) -> NodeId | None:
        """Return the folder in another user's tree whose owner's quota the upload counts in.

        It is the nearest folder that existed before this command: folders that this command
        creates may not exist on the server yet.
        """
        folder, made, makes = parent.node, self._made, self.changes.above
        while (above := made.get(folder) or makes.get(folder)) is not None:
            folder = above
        return self._session.tree.in_anothers(folder)


def _leaves_connection(error: BaseException) -> bool:
    """Return whether an error says nothing against the connection and its server."""
    return isinstance(error, FsError) and not (can_go_on(error) or isinstance(error, SecurityError))
