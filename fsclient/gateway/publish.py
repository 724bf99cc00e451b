"""From what was written to a new version: sealed, sent, committed; all of it or nothing."""

from __future__ import annotations

import os
from functools import partial

from fsclient.gateway.lookup import PathLookup
from fsclient.gateway.open_write import EarlyUpload, OpenWrite, SentContent, WrittenSource
from fsclient.gateway.session_pool import SessionPool
from fsclient.session.login import Session
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
    """Makes versions of what was written."""

    def __init__(self, desks: SessionPool, walker: PathLookup, ui: Ui) -> None:
        self._desks = desks
        self._walker = walker
        self._progress = Progress(ui, "put", "put")

    def begin_early(self, writing: OpenWrite) -> None:
        """Send a file while it is still written, if somebody is free to do that."""
        try:
            folder = self._folder_for(writing)
        except FsError:  # what is wrong with the folder is told at the close
            return
        desk = self._desks.take_free()
        if desk is None:
            return
        source, base = writing.source(), writing.base
        result = desk.start(lambda session: self._send(session, source, base, folder))
        writing.early = EarlyUpload(source, result)
        result.add_done_callback(lambda _: self._desks.give_back(desk))

    def publish(self, writing: OpenWrite) -> None:
        """Make what was written the newest version of its file.

        `ConflictError` if somebody else has changed that meanwhile; then nothing is done.
        """
        sent = self._finished(writing.early)
        for _ in range(_TRIES):
            if sent is None and writing.size > _INLINE_PLAIN:
                sent = self._sent(writing)
            # Read here: what was there before may have to be asked for by the desk that commits.
            data = b"" if sent is not None else writing.read(0, writing.size)
            commit = partial(self._commit, writing=writing, sent=sent, data=data)
            if self._desks.tree.do(commit):
                return
            sent = None  # it was sealed for a version that somebody else has made meanwhile
        raise ConflictError(f"Too many others change '{writing.place}' right now; try again.")

    def describe(self, writing: OpenWrite) -> None:
        """Give a file whose content was not changed the time and mode that were set."""
        self._desks.tree.do(partial(self._describe, writing=writing))

    # --- sending

    def _finished(self, early: EarlyUpload | None) -> SentContent | None:
        """Return what was sent early, once it is complete; None if it is of no use."""
        if early is None:
            return None
        early.source.finish()
        try:
            return early.result.result()
        except OutOfSpaceError:
            raise
        except FsError:  # it was written over, or its connection was lost: all of it is here
            return None

    def _sent(self, writing: OpenWrite) -> SentContent:
        source = writing.source()
        source.finish()
        folder = self._folder_for(writing)
        desk = self._desks.take()
        try:
            return desk.do(lambda session: self._send_whole(session, source, writing.base, folder))
        finally:
            self._desks.give_back(desk)

    def _folder_for(self, writing: OpenWrite) -> NodeId | None:
        """Return the folder, if it is another's, so that the server knows whose room is needed."""

        def find(session: Session) -> NodeId | None:
            folder = self._walker.find(session, writing.place.parent, follow=True).folder()
            return session.tree.in_anothers(folder.keyed.node)

        return self._desks.tree.do(find)

    def _send_whole(
        self,
        session: Session,
        source: WrittenSource,
        base: TreeNode | None,
        folder: NodeId | None,
    ) -> SentContent:
        """Send it all; with other keys over another connection, if one is lost."""
        while True:
            try:
                return self._send(session, source, base, folder)
            except Unreachable as lost:
                session.persistence.recover(lost)
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

    # --- committing

    def _commit(
        self, session: Session, *, writing: OpenWrite, sent: SentContent | None, data: bytes
    ) -> bool:
        """Commit what was sent, or `data`; false if it must be sealed for another version."""
        folder, now = self._as_it_is(session, writing)
        version = now.manifest.body.version + 1 if now else 1
        if sent is not None and sent.version != version:
            writing.base = now
            return False
        name, inline = writing.place.name, None
        if sent is None:
            node = now.keyed if now else new_node(os.urandom)
            sealing = FileEncryption.new(node.node, version)
            inline = InlineBlob(sealing.salt, sealing.sealer.seal(0, data, last=True))
            size, root = len(data), integrity.blob_root(sealing.salt, inline.data)
        else:
            done = sent.streamed
            node, sealing, size, root = done.node, done.sealing, done.size, done.root
        metadata = Metadata(name, size, writing.time_ns, writing.mode, sealing.file_key)
        content = sealing.content(version, root, size)
        before = now.manifest if now else None
        changes = Committer(session.tree)
        changes.put_file(folder.keyed, NextVersion(node, before, metadata, content), inline)
        changes.commit()
        self._note(session, writing, folder)
        return True

    def _describe(self, session: Session, *, writing: OpenWrite) -> None:
        folder, now = self._as_it_is(session, writing)
        if now is None:
            return
        changes = Committer(session.tree)
        metadata = described(now.metadata, writing.time_ns, writing.mode)
        changes.describe(folder.keyed, now, metadata)
        changes.commit()
        self._note(session, writing, folder)

    def _as_it_is(self, session: Session, writing: OpenWrite) -> tuple[TreeNode, TreeNode | None]:
        """Return the folder and what is there now; `ConflictError` if others have changed it."""
        place = writing.place
        folder = self._walker.find(session, place.parent, follow=True).folder()
        now = session.tree.look(folder, [place.name])[place.name]
        if _content_of(now) != _content_of(writing.base):
            raise ConflictError(
                f"Somebody else changed '{place}' meanwhile; what was written was not put.",
                hint="Look at theirs, then write yours again.",
            )
        return folder, now

    def _note(self, session: Session, writing: OpenWrite, folder: TreeNode) -> None:
        """Note what has become of it: what is written from now on goes out from that."""
        self._walker.forget(writing.place)
        name = writing.place.name
        over = writing.closing  # nothing more is written
        writing.published(None if over else session.tree.look(folder, [name])[name])


def _content_of(found: TreeNode | None) -> tuple[NodeId, Content | None] | None:
    """Return what must be the same for what was written to go out from it."""
    return (found.keyed.node, found.manifest.body.content) if found else None
