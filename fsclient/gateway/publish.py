"""Publication of written files as new versions: seal, send, commit; all or nothing."""

from __future__ import annotations

import os

from fsclient.gateway.group_commit import GroupCommit
from fsclient.gateway.lookup import PathLookup
from fsclient.gateway.nodes import GatewayNode
from fsclient.gateway.open_write import Changes, EarlyUpload, OpenWrite, SentContent, WrittenSource
from fsclient.gateway.paths import GatewayPath
from fsclient.gateway.session_pool import SessionPool
from fsclient.session.session import Session
from fsclient.transfer.report.progress import FileProgress, Progress
from fsclient.transfer.up.encrypt import FileEncryption
from fsclient.transfer.up.stream import SealingWorkers, StreamUpload
from fsclient.tree.commit import Committer
from fsclient.tree.draft import NextVersion
from fsclient.tree.nodes import TreeNode
from fsclient.ui import Ui
from fsproto.errors import ConflictError, FsError, OutOfSpaceError, Unreachable
from fsproto.keys.tree import new_node
from fsproto.limits import MAX_INLINE_BLOB
from fsproto.messages.files import InlineBlob
from fsproto.sealed import integrity, stream
from fsproto.sealed.manifest import Content, Metadata, described
from fsproto.types import NodeId

_INLINE_PLAIN = MAX_INLINE_BLOB - stream.HEADER_SIZE - stream.TAG_SIZE
_TRIES = 3


class Publisher:
    """A publisher of written files as new versions."""

    def __init__(self, sessions: SessionPool, walker: PathLookup, ui: Ui) -> None:
        self._sessions = sessions
        self._walker = walker
        self._progress = Progress(ui, "put", "put")
        self.commits = GroupCommit(sessions.tree, walker)

    def begin_early(self, writing: OpenWrite) -> None:
        """Start to send a file while it is still written, if a worker is free."""
        try:
            folder = self._folder_for(writing)
        except FsError:  # the close reports errors of the folder
            return
        worker = self._sessions.take_free()
        if worker is None:
            return
        source, base = writing.source(), writing.base
        result = worker.start(lambda session: self._send(session, source, base, folder))
        writing.early = EarlyUpload(source, result)
        result.add_done_callback(lambda _: self._sessions.give_back(worker))

    def publish(self, writing: OpenWrite) -> None:
        """Publish the written data as the newest version of its file.

        Raises `ConflictError` if another writer has changed the file; then nothing is published.
        """
        changes = writing.changes  # before the content is read: what is written later counts again
        sent = self._finished(writing.early)
        for _ in range(_TRIES):
            if sent is None and writing.size > _INLINE_PLAIN:
                sent = self._sent(writing)
            # Read here: reading the old content may need the worker that commits.
            data = b"" if sent is not None else writing.read(0, writing.size)
            publication = _Publication(self._walker, writing, sent, data)
            self.commits.do(publication)
            if publication.is_made:
                self._published(writing, changes)
                return
            sent = None  # another writer has published the version it was sealed for
        raise ConflictError(f"Other writers keep changing '{writing.place}'; try again.")

    def describe(self, writing: OpenWrite) -> None:
        """Set the new time and mode of a file with unchanged content."""
        changes = writing.changes
        self.commits.do(_Description(self._walker, writing))
        self._published(writing, changes)

    def _published(self, writing: OpenWrite, changes: Changes) -> None:
        """Record the published version; later writes are based on it."""
        if writing.closing:  # no further writes
            writing.published(None, changes)
            return
        known = self._walker.known(writing.place, follow=False)
        if known is None:
            reach = self._walker.reach
            known = self._sessions.tree.do(lambda s: reach(s, writing.place, follow=False))
        writing.published(known[1].found if known[1] is not None else None, changes)

    # --- sending

    def _finished(self, early: EarlyUpload | None) -> SentContent | None:
        """Return the early upload once it is complete; None if it is not usable."""
        if early is None:
            return None
        early.source.finish()
        try:
            return early.result.result()
        except OutOfSpaceError:
            raise
        except FsError:  # data overwritten or connection lost: the staged file has all of it
            return None

    def _sent(self, writing: OpenWrite) -> SentContent:
        source = writing.source()
        source.finish()
        folder = self._folder_for(writing)
        worker = self._sessions.take()
        try:
            return worker.do(
                lambda session: self._send_whole(session, source, writing.base, folder)
            )
        finally:
            self._sessions.give_back(worker)

    def _folder_for(self, writing: OpenWrite) -> NodeId | None:
        """Return the folder if another user owns it: the server charges that user's quota."""

        def find(session: Session) -> NodeId | None:
            folder = self._walker.find(session, writing.place.parent, follow=True).folder()
            return session.tree.in_anothers(folder.keyed.node)

        return self._sessions.tree.do(find)

    def _send_whole(
        self,
        session: Session,
        source: WrittenSource,
        base: TreeNode | None,
        folder: NodeId | None,
    ) -> SentContent:
        """Send the whole file; if the connection is lost, send it again with new keys."""
        while True:
            try:
                return self._send(session, source, base, folder)
            except Unreachable as lost:
                session.retry.recover(lost)
                source.at = 0

    def _send(
        self,
        session: Session,
        source: WrittenSource,
        base: TreeNode | None,
        folder: NodeId | None,
    ) -> SentContent:
        shop, moving = SealingWorkers(), FileProgress(self._progress, "", -1)
        try:
            sending = StreamUpload(
                session, moving, shop, source=source, journal=None, before=base, folder=folder
            )
            return SentContent(sending.run(), base.manifest.body.version + 1 if base else 1)
        finally:
            shop.close()


class _OfWriting:
    """A change of a file that a program has written."""

    def __init__(self, walker: PathLookup, writing: OpenWrite) -> None:
        self._walker = walker
        self._writing = writing

    @property
    def place(self) -> GatewayPath:
        """The path of the file."""
        return self._writing.place

    def _as_it_is(self, session: Session) -> tuple[GatewayNode, TreeNode | None]:
        """Return the folder and the current node; raise `ConflictError` on a foreign change."""
        place = self.place
        folder = self._walker.find(session, place.parent, follow=True)
        at = folder.place.child(place.name)
        # If the cache is out of date, the commit is refused and this is called again without it.
        known = self._walker.known(at, follow=False)
        _, node = known or self._walker.reach(session, at, follow=False)
        now = node.found if node is not None else None
        if _content_of(now) != _content_of(self._writing.base):
            raise ConflictError(
                f"Another writer changed '{place}' in the meantime; your version was not put.",
                hint="Look at the current version, then write yours again.",
            )
        return folder, now


class _Publication(_OfWriting):
    """The written data as the next version of its file."""

    def __init__(
        self, walker: PathLookup, writing: OpenWrite, sent: SentContent | None, data: bytes
    ) -> None:
        """`data` is the content, unless it was `sent` already."""
        super().__init__(walker, writing)
        self._sent = sent
        self._data = data
        self.is_made = True
        """False if the content was sent for another version: it must be sealed again."""

    def draft(self, session: Session, changes: Committer) -> GatewayNode | None:
        """Add the next version of the file to a commit; return its folder."""
        writing, sent = self._writing, self._sent
        folder, now = self._as_it_is(session)
        version = now.manifest.body.version + 1 if now else 1
        if sent is not None and sent.version != version:
            writing.base, self.is_made = now, False
            return None
        name, inline = self.place.name, None
        if sent is None:
            node = now.keyed if now else new_node(os.urandom)
            sealing = FileEncryption.new(node.node, version)
            inline = InlineBlob(sealing.salt, sealing.sealer.seal(0, self._data, last=True))
            size, root = len(self._data), integrity.blob_root(sealing.salt, inline.data)
        else:
            done = sent.streamed
            node, sealing, size, root = done.node, done.sealing, done.size, done.root
        metadata = Metadata(name, size, writing.time_ns, writing.mode, sealing.file_key)
        content = sealing.content(version, root, size)
        before = now.manifest if now else None
        following = NextVersion(node, before, metadata, content)
        changes.put_file(folder.folder().keyed, following, inline)
        return folder


class _Description(_OfWriting):
    """The new time and mode of a file with unchanged content."""

    def draft(self, session: Session, changes: Committer) -> GatewayNode | None:
        """Add the new metadata to a commit; return the file's folder."""
        folder, now = self._as_it_is(session)
        if now is None:
            return None
        metadata = described(now.metadata, self._writing.time_ns, self._writing.mode)
        changes.describe(folder.folder().keyed, now, metadata)
        return folder


def _content_of(found: TreeNode | None) -> tuple[NodeId, Content | None] | None:
    """Return the parts that must be unchanged for a version to be the base of a write."""
    return (found.keyed.node, found.manifest.body.content) if found else None
