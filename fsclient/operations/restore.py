"""Restoring: make an older version the newest, or bring back a removed file or folder.

The client uploads no content and changes no older version. It signs a new version, after the newest
one, for content that the server still stores. The new version has the file key of the old one. This
is safe, because every reader of the new version could have read that key in the old one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fsclient.operations.repair import Repair
from fsclient.session.session import Session
from fsclient.sharing.share import Sharing
from fsclient.tree.commit import Committer
from fsclient.tree.contents import RefusedEntry
from fsclient.tree.draft import NextVersion
from fsclient.tree.history import FileHistory
from fsclient.tree.moved_keys import takes_new_key
from fsclient.tree.nodes import TreeNode, must_be_folder
from fsclient.tree.removed import RemovedLookup, RemovedNode, reached
from fsclient.ui import Ui
from fsproto.errors import ExistsError, NotAllowedError, NotFoundError, UsageError
from fsproto.names import RemotePath
from fsproto.sealed.manifest import Metadata, renamed


@dataclass(frozen=True)
class RestoreResult:
    """The result of a restore."""

    path: RemotePath
    version: int | None
    """The version whose content is restored; None for the last version before the removal."""
    was_removed: bool
    changed: bool = True
    """False if the newest version is the same already."""


class RestoreOperation:
    """One `restore` command."""

    def __init__(
        self,
        session: Session,
        ui: Ui,
        elsewhere: Callable[[RemotePath, NotFoundError], RemovedNode] | None = None,
    ) -> None:
        """`ui` shows warnings. `elsewhere` is called if nothing was removed from the given path."""
        self._session = session
        self._tree = session.tree
        self._ui = ui
        self._elsewhere = elsewhere

    def run(
        self, path: RemotePath, version: int | None, target: RemotePath | None, chosen: str
    ) -> RestoreResult:
        """Restore a version of the file at a path, or a node that was removed from there.

        An entry there that does not verify gets the last version that opens (`Repair`).

        `target` is the new path of a removed node (None: the old path). `chosen` is the id of one
        of several removed nodes of the same name.
        """
        refused = None if version or target or chosen else self._refused(path)
        if refused is not None:
            restored = Repair(self._tree).run(refused, path)
            return RestoreResult(path, restored, was_removed=False)
        try:
            folder, there = reached(self._tree, path)
        except NotFoundError as missing:
            return self._bring_back_from_elsewhere(path, version, target, chosen, missing)
        if there is None or target is not None or chosen:
            return self._bring_back(folder, path, version, target, chosen)
        if there.is_folder:
            raise UsageError(
                f"'{path}' is there, and folders have no versions.",
                hint=f"'fsclient history {path.argument}' shows what was removed from it.",
            )
        if version is None:
            raise UsageError(
                f"Choose the version of '{path}' that becomes the newest: --version N.",
                hint=f"'fsclient history {path.argument}' lists the versions; --as NAME restores "
                "a removed file or folder of this name.",
            )
        return self._make_newest(folder, there, version)

    def _refused(self, path: RemotePath) -> RefusedEntry | None:
        """Return the entry at a path if it does not verify."""
        if not path.parts:
            return None
        folder = self._tree.reach(path.parent)[-1]
        if len(folder.path.parts) < len(path.parts) - 1 or not folder.is_folder:
            return None
        entry = self._tree.look_each(folder, [path.name])[path.name]
        return entry if isinstance(entry, RefusedEntry) else None

    def _make_newest(self, folder: TreeNode, found: TreeNode, version: int) -> RestoreResult:
        older = FileHistory(self._tree).at(found, version)
        content = older.manifest.body.content
        if (content, older.metadata) == (found.manifest.body.content, found.metadata):
            return RestoreResult(found.path, version, was_removed=False, changed=False)
        if found.above is None:
            raise NotAllowedError(f"'{found.path}' is shared with you; only its owner can do that.")
        changes = Committer(self._tree)
        what = NextVersion(found.keyed, found.manifest, older.metadata, content)
        changes.put_file(folder.keyed, what, None)
        changes.commit()
        return RestoreResult(found.path, version, was_removed=False)

    def _bring_back(
        self,
        folder: TreeNode,
        path: RemotePath,
        version: int | None,
        target: RemotePath | None,
        chosen: str,
    ) -> RestoreResult:
        try:
            removed, *others = RemovedLookup(self._tree).named(folder, path, chosen)
        except NotFoundError as missing:
            return self._bring_back_from_elsewhere(path, version, target, chosen, missing)
        if others:
            self._ui.warn(
                f"'{path}' was removed {len(others) + 1} times; the latest comes back. "
                f"'fsclient history {folder.path.argument}' shows all, --id brings back another."
            )
        return self.bring_back(removed, version, target)

    def _bring_back_from_elsewhere(
        self,
        path: RemotePath,
        version: int | None,
        target: RemotePath | None,
        chosen: str,
        missing: NotFoundError,
    ) -> RestoreResult:
        if self._elsewhere is None or chosen:
            raise missing
        return self.bring_back(self._elsewhere(path, missing), version, target)

    def bring_back(
        self, removed: RemovedNode, version: int | None = None, target: RemotePath | None = None
    ) -> RestoreResult:
        """Restore a removed node, under another path if `target` is given."""
        found = removed.found
        older = found if version is None else FileHistory(self._tree).at(found, version)
        folder = found.above
        if folder is None:
            raise RuntimeError("a removed node is always found in its folder")
        into, name = self._target(folder, found.path, target)
        if self._tree.look(into, [name])[name] is not None:
            raise ExistsError(
                f"'{into.path.child(name)}' exists already.",
                hint="Give --as NAME to bring it back under another name.",
            )
        metadata = renamed(older.metadata, name)
        self._place(folder, found, into, metadata, older)
        return RestoreResult(into.path.child(name), version, was_removed=True)

    def _place(
        self, folder: TreeNode, found: TreeNode, into: TreeNode, metadata: Metadata, older: TreeNode
    ) -> None:
        tree, changes = self._tree, Committer(self._tree)
        audience = tree.context.authors.audience
        loses = into.keyed.node != folder.keyed.node and audience(folder.keyed.node).loses(
            audience(into.keyed.node)
        )
        sharing, owns = Sharing(self._session, self._ui), found.path.owner is None
        was_shared = owns and sharing.end_all(
            TreeNode(found.path, found.keyed, found.manifest, metadata, into), changes
        )
        what = NextVersion(
            found.keyed,
            found.manifest,
            metadata,
            older.manifest.body.content,
            renew=found.is_due_on_path
            or loses
            or was_shared
            or takes_new_key(tree, found, folder.keyed, into.keyed),
        )
        changes.bring_back(found, into.keyed, what)
        changes.commit()
        tree.context.authors.forget_lists()
        if was_shared:
            self._ui.warn(f"'{into.path.child(metadata.name)}' is no longer shared.")
        if owns and found.is_folder:
            sharing.refresh()  # removes members of shares in it: they lost access, too

    def _target(
        self, folder: TreeNode, path: RemotePath, target: RemotePath | None
    ) -> tuple[TreeNode, str]:
        """Return the folder for a removed node, and its name there."""
        if target is None:
            return folder, path.name
        tree, place = self._tree, target
        if target.owner is None and len(target.parts) == 1 and not target.names_folder:
            # A bare name is a new name in the same folder.
            if (there := tree.look(folder, [target.name])[target.name]) is None:
                return folder, target.name
            return (there, path.name) if there.is_folder else (folder, target.name)
        way = tree.reach(place)
        if way[0].path.owner != folder.path.owner:
            raise NotAllowedError("Nothing can be moved from one person's tree to another's.")
        there = way[-1] if len(way[-1].path.parts) == len(place.parts) else None
        if place.names_folder or (there is not None and there.is_folder):
            return must_be_folder(tree.find(place)), path.name
        return must_be_folder(tree.find(place.parent)), place.name
