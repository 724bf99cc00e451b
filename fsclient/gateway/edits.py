"""Changes to folders that SFTP clients request, as commits to a sealed tree.

Each function runs in the thread of its session, and looks up the current state itself.
"""

from __future__ import annotations

import os
import time

from fsclient.gateway.lookup import PathLookup
from fsclient.gateway.nodes import GatewayNode
from fsclient.gateway.paths import GatewayPath
from fsclient.operations.move import check_movable, move
from fsclient.session.session import Session
from fsclient.transfer.up.encrypt import FileEncryption
from fsclient.tree.commit import Committer
from fsclient.tree.draft import NextVersion
from fsclient.tree.nodes import TreeNode
from fsclient.ui import Ui
from fskit.sftp.status import InvalidRequestError
from fsproto.errors import (
    ConflictError,
    ExistsError,
    InvalidNameError,
    NotAllowedError,
    NotFoundError,
)
from fsproto.keys.tree import new_node
from fsproto.limits import MAX_LINK_TARGET
from fsproto.messages.files import InlineBlob
from fsproto.sealed import integrity
from fsproto.sealed.manifest import Metadata, Mode, described
from fsproto.types import NodeId


class Edits:
    """Changes to the tree; only the session's thread may use it."""

    def __init__(self, walker: PathLookup, ui: Ui) -> None:
        self._walker = walker
        self._ui = ui

    def make_folder(self, session: Session, place: GatewayPath) -> None:
        """Make a folder; raise `ExistsError` if the path exists."""
        folder, name = self._free(session, place)
        changes = Committer(session.tree)
        changes.make_folder(folder.folder().keyed, name, time.time_ns())
        self._commit(session, changes, folder)

    def make_link(self, session: Session, place: GatewayPath, target: bytes) -> None:
        """Make a symbolic link; raise `ExistsError` if the path exists."""
        if not 0 < len(target) <= MAX_LINK_TARGET or 0 in target:
            raise InvalidNameError(
                f"The target of a symbolic link must have 1 to {MAX_LINK_TARGET} bytes."
            )
        folder, name = self._free(session, place)
        node = new_node(os.urandom)
        sealing = FileEncryption.new(node.node, 1)
        blob = sealing.sealer.seal(0, target, last=True)
        root = integrity.blob_root(sealing.salt, blob)
        metadata = Metadata(name, len(target), time.time_ns(), Mode.SYMLINK, sealing.file_key)
        content = sealing.content(1, root, len(target))
        changes = Committer(session.tree)
        first = NextVersion(node, None, metadata, content)
        changes.put_file(folder.folder().keyed, first, InlineBlob(sealing.salt, blob))
        self._commit(session, changes, folder)

    def remove(self, session: Session, place: GatewayPath, *, folder: bool) -> None:
        """Remove a file, or with `folder` an empty folder."""
        found, above = self._changeable(session, place)
        if folder and not found.is_folder:
            raise NotFoundError(f"'{place}' is not a folder.")
        if found.is_folder and not folder:
            raise ConflictError(f"'{place}' is a folder.")
        if folder and not session.tree.children(found).is_empty:
            raise ConflictError(f"The folder '{place}' is not empty.")
        changes = Committer(session.tree)
        changes.remove(above.keyed, found)
        begun_s = self._walker.now_s()
        made = changes.commit()
        at = self._walker.find(session, place.parent, follow=True).place
        self._walker.forget(at.child(place.name))
        self._walker.committed(session, made, {at: above}, begun_s, removed=[at.child(place.name)])

    def rename(
        self, session: Session, old: GatewayPath, new: GatewayPath, *, replacing: bool
    ) -> None:
        """Move a file or folder; with `replacing`, replace the target as POSIX `rename` does.

        A file replaces a file; a folder replaces an empty folder. Without `replacing`, the target
        must not exist; a folder or link takes the place of a link that leads nowhere, as at
        OpenSSH's sftp-server.
        """
        found, _ = self._changeable(session, old)
        must_be_changeable(new)
        if new.parent.is_fixed and new.parent.parts:
            raise NotAllowedError(_not_its_owner(new.parent))
        self._walker.forget(new)
        folder = self._walker.find(session, new.parent, follow=True).folder()
        there = session.tree.look(folder, [new.name])[new.name]
        if there is not None and not (replacing or self._gives_way(session, found, there, new)):
            raise ExistsError(f"'{new}' exists already.")
        if there is not None and there.keyed.node == found.keyed.node:
            return
        if found.is_folder and new.within(old):
            raise InvalidRequestError(f"'{old}' cannot be moved into itself.")
        check_movable(found, folder)
        if there is not None:
            _check_replaceable(session, found, there, new)
        try:
            move(session, self._ui, found, folder=folder, name=new.name, replaced=there)
        finally:
            self._walker.forget_all()  # the move may have changed keys

    # --- finding

    def _gives_way(
        self, session: Session, found: TreeNode, there: TreeNode, new: GatewayPath
    ) -> bool:
        """Return whether a rename that does not replace replaces `there` all the same."""
        if found.kind == "file" or there.kind != "symlink":
            return False
        try:
            return self._walker.reach(session, new, follow=True)[1] is None
        except NotFoundError:
            return True

    def _commit(self, session: Session, changes: Committer, folder: GatewayNode) -> None:
        """Commit changes of one folder; the path lookup shows them."""
        begun_s = self._walker.now_s()
        made = changes.commit()
        self._walker.committed(session, made, {folder.place: folder.folder()}, begun_s)

    def _free(self, session: Session, place: GatewayPath) -> tuple[GatewayNode, str]:
        """Return the folder and the name for a path that does not exist yet."""
        must_be_changeable(place)
        self._walker.forget(place)
        at, node = self._walker.reach(session, place, follow=False)
        if node is not None:
            raise ExistsError(f"'{at}' exists already.")
        return self._walker.find(session, at.parent, follow=True), at.name

    def _changeable(self, session: Session, place: GatewayPath) -> tuple[TreeNode, TreeNode]:
        """Return the current node at a path and its folder; a link is not followed."""
        must_be_changeable(place)
        self._walker.forget(place)
        node: GatewayNode = self._walker.find(session, place, follow=False)
        found = node.found
        if found is None or found.above is None:
            raise NotAllowedError(_not_its_owner(place))
        return found, found.above


class NewMetadata:
    """The new time of a file or folder, and the new mode of a file: a change of a `GroupCommit`."""

    def __init__(
        self,
        walker: PathLookup,
        place: GatewayPath,
        mtime_ns: int | None,
        mode: Mode | None,
        node: NodeId | None = None,
    ) -> None:
        """None for what stays as it is. A link at `place` is not followed.

        `node` is the node that must be at `place`, if that matters.
        """
        self._walker = walker
        self.place = place
        self._mtime_ns = mtime_ns
        self._mode = mode
        self._node = node

    def draft(self, session: Session, changes: Committer) -> GatewayNode | None:
        """Add the change to a commit; return the folder that has the node."""
        must_be_changeable(self.place)
        folder = self._walker.find(session, self.place.parent, follow=True)
        place = folder.place.child(self.place.name)
        found = self._walker.find(session, place, follow=False).found
        if found is None or found.above is None:
            raise NotAllowedError(_not_its_owner(place))
        if self._node not in (None, found.keyed.node):
            raise NotFoundError(f"The file at '{place}' is not the opened one.")
        was = found.metadata
        now = replace_metadata(was, self._mtime_ns, self._mode if found.kind == "file" else None)
        if now == was:
            return None
        changes.describe(found.above.keyed, found, now)
        return folder


def _check_replaceable(
    session: Session, found: TreeNode, there: TreeNode, new: GatewayPath
) -> None:
    """Raise unless a node may replace another one, as POSIX `rename` does."""
    if found.is_folder and not there.is_folder:
        raise NotFoundError(f"'{new}' is not a folder.")
    if there.is_folder and not found.is_folder:
        raise ConflictError(f"'{new}' is a folder.")
    if there.is_folder and not session.tree.children(there).is_empty:
        raise ConflictError(f"The folder '{new}' is not empty.")


def must_be_changeable(place: GatewayPath) -> None:
    """Raise `NotAllowedError` for the folders that are always there."""
    if place.is_fixed:
        raise NotAllowedError(f"'{place}' is always there and cannot be changed.")


def _not_its_owner(place: GatewayPath) -> str:
    return f"'{place}' is shared with you; only its owner can change that."


def replace_metadata(was: Metadata, mtime_ns: int | None, mode: Mode | None) -> Metadata:
    """Return metadata with the time and mode replaced where they are given."""
    time_ns = was.mtime_ns if mtime_ns is None else mtime_ns
    return described(was, time_ns, was.mode if mode is None else mode)
