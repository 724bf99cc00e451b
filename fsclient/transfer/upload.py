"""Sealing files and sending them; several small ones in one commit, large ones as streams."""

from __future__ import annotations

import os

from fsclient.changes import Changes, NextVersion
from fsclient.persistence import can_go_on
from fsclient.session import Session
from fsclient.transfer.journal import Journal, Journals
from fsclient.transfer.localfs import Source
from fsclient.transfer.progress import Progress
from fsclient.transfer.sealing import Readable, Sealing
from fsclient.transfer.sending import Sending, Streamed, Workshop
from fsclient.tree import Located
from fsproto.errors import FsError
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.limits import MAX_INLINE_BLOB
from fsproto.messages.files import InlineBlob
from fsproto.sealed import integrity, stream
from fsproto.sealed.manifest import Metadata

BATCH_BYTES = 700_000
BATCH_CHANGES = 400
FLUSH_AFTER_BYTES = 64 << 20
"""After this many bytes of streams a commit is made, so that an interruption costs little."""
_INLINE_PLAIN = MAX_INLINE_BLOB - stream.HEADER_SIZE - stream.TAG_SIZE


class NotCommittedError(Exception):
    """A commit failed, and with it everything in it; what is wrong with one file stays its own."""

    def __init__(self, error: FsError, files: int) -> None:
        """Take why it failed, and how many files were in it."""
        super().__init__(error.sentence)
        self.error = error
        self.files = files


class Uploader:
    """Puts files into folders of one's own tree, batch by batch."""

    def __init__(
        self, session: Session, progress: Progress, journals: Journals | None = None
    ) -> None:
        """Take where to put, whom to tell, and where to keep how far it has come."""
        self._session = session
        self._progress = progress
        self._workshop = Workshop()
        self._journals = journals
        self._open: list[Journal] = []
        """Those of files that are sent, or were sent and are not committed yet."""
        self._files = 0
        self._streamed = 0
        self.changes = Changes(session.tree)

    def close(self) -> None:
        """Let the threads go; what was not committed can be gone on with, if it has a journal."""
        self._workshop.close()
        for journal in self._open:
            if journal.is_open and journal.leaves:
                self._session.persistence.unfinished = True
            journal.close()

    def put(self, parent: KeyedNode, name: str, before: Located | None, source: Readable) -> None:
        """Seal a file and send it; it is in its folder after the next `flush`."""
        file = before.keyed if before else new_node(os.urandom)
        version = before.manifest.body.version + 1 if before else 1
        facts, inline = source.facts, None
        if 0 <= facts.size <= _INLINE_PLAIN:
            room = memoryview(bytearray(facts.size + 1))
            sealing = Sealing.new(file.node, version)
            data = bytes(room[: source.read_into(room)])
            source.check_unchanged(len(data))
            inline = InlineBlob(sealing.salt, sealing.sealer.seal(0, data, last=True))
            size, root = len(data), integrity.blob_root(sealing.salt, inline.data)
            self._progress.advance(size)
        else:
            sent = self._stream(parent, name, before, source)
            file, sealing, size, root = sent.node, sent.sealing, sent.size, sent.root
            self._streamed += size
        metadata = Metadata(name, size, facts.mtime_ns, facts.executable, sealing.file_key)
        manifest = before.manifest if before else None
        content = sealing.content(version, root, size)
        self.changes.put_file(parent, NextVersion(file, manifest, metadata, content), inline)
        self._files += 1
        self.flush_if_full()

    def flush_if_full(self) -> None:
        """Commit if the batch has become as large as one commit should be."""
        full = self.changes.size > BATCH_BYTES or len(self.changes) >= BATCH_CHANGES
        if full or self._streamed > FLUSH_AFTER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Commit what was put so far."""
        changes, self.changes = self.changes, Changes(self._session.tree)
        files, self._files, self._streamed = self._files, 0, 0
        try:
            changes.commit()
        except FsError as error:
            if not can_go_on(error):
                self._remove_journals()
            raise NotCommittedError(error, files) from error
        self._remove_journals()
        for _ in range(files):
            self._progress.file_done()

    def _remove_journals(self) -> None:
        journals, self._open = self._open, []
        for journal in journals:
            journal.remove()

    def _stream(
        self, parent: KeyedNode, name: str, before: Located | None, source: Readable
    ) -> Streamed:
        """Send a file as a stream, behind what was sent of it before if that can be known."""
        known = None
        if self._journals is not None and isinstance(source, Source):
            known = self._journals.open(parent.node, parent.token(name), source)
        if known is not None:
            self._open.append(known)
        try:
            return Sending(
                self._session,
                self._progress,
                self._workshop,
                source=source,
                journal=known,
                before=before,
            ).run()
        except FsError as error:
            if known is not None and not can_go_on(error):
                self._open.remove(known)
                known.remove()
            raise
