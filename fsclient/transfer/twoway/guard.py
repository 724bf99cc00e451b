"""What a two-way sync stores for the next one, and its last check before a local file changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from fsclient.transfer.local.files import LocalStat
from fsclient.transfer.local.symlinks import local_facts
from fsclient.transfer.local.trash import Trash
from fsclient.transfer.pairs.guard import SyncGuard, content_root, shown_here
from fsclient.transfer.pairs.state import Head, PairState
from fsclient.transfer.pairs.still import StillFolders
from fsclient.transfer.twoway.moves import Move, moved
from fsclient.tree.followed import FollowedFolders
from fsclient.tree.nodes import TreeNode
from fsproto.errors import ConflictError


class TwoWayGuard(SyncGuard):
    """The guard of one two-way sync: a local file must still be as it was when it was listed."""

    def __init__(
        self,
        last: PairState,
        trash: Trash,
        *,
        noted: Callable[[SyncGuard], None] = lambda _: None,
    ) -> None:
        super().__init__(last, trash, force=True, noted=noted)
        self.listed: Mapping[str, LocalStat | None] = {}
        """The local entries as the plan knows them."""

    def check_here(self, relative: str, path: Path, found: LocalStat, source: TreeNode) -> None:
        """Raise `ConflictError` unless the local file is as it was when it was listed."""
        if self.listed.get(relative) != found:
            raise ConflictError(f"{shown_here(path)} changed during the sync; it was not replaced.")

    def check_as_listed(self, relative: str, path: Path) -> None:
        """Do the same before a local file is removed or renamed."""
        if self.listed.get(relative) != local_facts(path):
            raise ConflictError(f"{shown_here(path)} changed during the sync; it was left alone.")

    def note_both(self, relative: str, facts: LocalStat, found: TreeNode) -> None:
        """Remember a file whose content was found to be the same on both sides."""
        node = found.keyed.node
        self.note(relative, facts, content_root(found), node, found.metadata.mode)

    def note_folders(self, inodes: Mapping[str, int], nodes: Mapping[str, TreeNode]) -> None:
        """Remember the top folder, and which folders those that both sides have are now."""
        for path in ["", *self._folders]:
            if path in inodes and path in nodes:
                self.note_folder(path, inodes[path], nodes[path].keyed.node)

    def moved(self, move: Move) -> None:
        """Remember that both sides have moved entries, with everything below them."""
        if move.replaces:
            self.forget(move.new)
        for old, new, _ in move.all:
            self._unsettle(old)
            self._unsettle(new)
        for change in move.changes:
            self._files = moved(self._files, *change)
            self._folders = moved(self._folders, *change)

    def forget(self, relative: str) -> None:
        """Forget an entry that one side or both no longer have."""
        self._files.pop(relative, None)
        self._folders.pop(relative, None)
        self._unsettle(relative)

    def complete(
        self, heads: dict[bytes, Head], still: StillFolders, followed: FollowedFolders
    ) -> None:
        """Note that the sync is complete; `heads` are the states of the remote folders."""
        self._complete, self._heads = True, heads
        self.settle(still, followed)
