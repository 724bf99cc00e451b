"""What a sync may replace and remove, and what it stores for the next one.

A sync replaces only what it knows: the destination must be as the last sync of the two folders left
it. What changed there since is a conflict: it stays, unless the user says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fsclient.transfer.local.files import LocalStat
from fsclient.transfer.local.symlinks import local_facts
from fsclient.transfer.pairs.branch import descend
from fsclient.transfer.pairs.state import (
    Change,
    Head,
    PairState,
    SyncedFolder,
    change_at_server,
    change_here,
    synced_file,
)
from fsclient.transfer.pairs.still import StillFolders, settled
from fsclient.transfer.relative import parent_of
from fsclient.tree.context import TreeContext
from fsclient.tree.followed import FollowedFolders
from fsclient.tree.nodes import TreeNode
from fsproto import crypto
from fsproto.errors import ConflictError
from fsproto.names import canonical_name, for_terminal
from fsproto.sealed.manifest import Mode
from fsproto.types import NodeId, Root

if TYPE_CHECKING:
    from fsclient.transfer.local.trash import Trash

_SINCE = {
    Change.DESTINATION: "has changed since the last sync",
    Change.BOTH: "has changed on both sides since the last sync",
}


class Guard:
    """The guard of `put` and `get`: they replace what the user names, and remember nothing."""

    watches = False
    """Whether the methods below do anything."""
    checks_removals = False
    """Whether `check_removal_there` can raise an error."""

    def check_branch(self, context: TreeContext, folder: NodeId) -> None:
        """Forget what the last sync left if a remote folder does not descend from it."""

    def check_share(self, relative: str, share: NodeId) -> None:
        """Forget what the last sync left if a name is now that of another share of its owner."""

    def check_there(self, relative: str, found: TreeNode, source: LocalStat) -> None:
        """Raise `ConflictError` unless a local file may replace the remote file `found`.

        `relative` is the path from the top folder, here and below.
        """

    def check_removal_there(self, relative: str, found: TreeNode) -> None:
        """Raise `ConflictError` unless the remote file `found` may be removed."""

    def check_here(self, relative: str, path: Path, found: LocalStat, source: TreeNode) -> None:
        """Raise `ConflictError` unless a remote file may replace the local file at `path`."""

    def check_removal_here(self, relative: str, path: Path) -> None:
        """Raise `ConflictError` unless the local file at `path` may be removed."""

    def keep(self, relative: str, path: Path) -> None:
        """Move a local file into the trash if the last sync did not leave it so; then it may go."""

    def make_room(self, relative: str, path: Path, found: LocalStat | None) -> None:
        """Do the same before the file is replaced; `found` is what was checked before.

        Raise `ConflictError` if the file changed since.
        """

    def note(
        self,
        relative: str,
        facts: LocalStat,
        root: Root,
        node: NodeId,
        remote_mode: Mode | None = None,
    ) -> None:
        """Note that both sides have this file now."""

    def note_folder(self, relative: str, inode: int, node: NodeId) -> None:
        """Note that both sides have this folder now."""

    def note_here(self, relative: str, path: Path, found: TreeNode) -> None:
        """Note that both sides have the file that was just written to `path`."""


NO_GUARD = Guard()


class SyncGuard(Guard):
    """The guard of one `sync`."""

    watches = True

    def __init__(
        self,
        last: PairState,
        trash: Trash,
        *,
        force: bool,
        mirror: bool = False,
        noted: Callable[[SyncGuard], None] = lambda _: None,
    ) -> None:
        """Take what the last sync left. With `force`, nothing conflicts.

        `mirror`: the user wants the target exactly like the source (`--delete`). Before the first
        complete sync that is as good as `force`, because all that the target has is unknown then.
        `noted` is called whenever a file is added; it may take `state`.
        """
        self._lock = Lock()
        """For files that are got at the same time."""
        self._noted = noted
        self.before = last
        """What the last sync left."""
        self._last = last.files
        self._complete = last.complete
        self._trash = trash
        self._force = force or (mirror and not last.complete)
        self._explained = False
        self.checks_removals = not self._force and last.complete
        self._files = dict(last.files)
        self._folders = dict(last.folders)
        self._made_by = last.made_by
        self._heads = last.heads
        self._met: set[str] = set()

    def check_branch(self, context: TreeContext, folder: NodeId) -> None:
        """Do so: files that are missing there were not removed by a person."""
        if self._heads and not descend(context, self._heads, [folder]):
            context.people.tell(
                "The remote folder is older than at the last sync: local files that differ or are "
                "missing there are not replaced or removed."
            )
            self.start_over()

    def check_share(self, relative: str, share: NodeId) -> None:
        """Do so: of two shares with one name, the server can hide one."""
        before = self._folders.get(relative)
        if before is not None and before.node != share:
            self.start_over()

    def check_there(self, relative: str, found: TreeNode, source: LocalStat) -> None:
        """Compare the remote file with its state after the last sync."""
        change = change_at_server(self._last, relative, content_root(found), source)
        if change is Change.NONE or self._force:
            return
        raise self._conflict(
            f"'{found.path}'", change, "replaced", "'fsclient history' keeps the old version"
        )

    def check_removal_there(self, relative: str, found: TreeNode) -> None:
        """Do the same, before a remote file is removed."""
        if not self.checks_removals:
            return
        change = change_at_server(self._last, relative, content_root(found), None)
        if change is not Change.NONE:
            raise self._conflict(
                f"'{found.path}'", change, "removed", "'fsclient restore' brings it back"
            )

    def check_here(self, relative: str, path: Path, found: LocalStat, source: TreeNode) -> None:
        """Compare the local file with its state after the last sync."""
        change = change_here(self._last, relative, found, content_root(source))
        if change is Change.NONE or self._force:
            return
        raise self._conflict(
            shown_here(path), change, "replaced", "the local one moves to the trash"
        )

    def check_removal_here(self, relative: str, path: Path) -> None:
        """Do the same, before a local file is removed; a new one goes to the trash."""
        found = local_facts(path)
        name = canonical_name(relative)
        if found is None or self._force or name not in self._last:
            return
        change = change_here(self._last, name, found, None)
        if change is not Change.NONE:
            raise self._conflict(shown_here(path), change, "removed", "it moves to the trash")

    def keep(self, relative: str, path: Path) -> None:
        """Move a local file into the trash unless the last sync left it so."""
        found = local_facts(path)
        name = canonical_name(relative)
        if found is not None and change_here(self._last, name, found, None) is not Change.NONE:
            self._trash.keep(path, relative)

    def make_room(self, relative: str, path: Path, found: LocalStat | None) -> None:
        """Check the local file once more, then keep it if it exists nowhere else."""
        if local_facts(path) != found:
            raise ConflictError(f"{shown_here(path)} changed during the sync; it was not replaced.")
        with self._lock:
            self.keep(relative, path)

    def note(
        self,
        relative: str,
        facts: LocalStat,
        root: Root,
        node: NodeId,
        remote_mode: Mode | None = None,
    ) -> None:
        """Remember a file that both sides have; any thread may call."""
        file = synced_file(facts, root, remote_mode, node)
        with self._lock:
            if self._files.get(relative) != file:
                self._files[relative] = file
                self._unsettle(relative)
            self._met.add(relative)
            self._noted(self)

    def note_folder(self, relative: str, inode: int, node: NodeId) -> None:
        """Remember a folder that both sides have."""
        with self._lock:
            before = self._folders.get(relative)
            if before is None or before.node != node:
                self._folders[relative] = SyncedFolder(node, inode)
                self._unsettle(relative)
            elif before.inode != inode:
                self._folders[relative] = replace(before, inode=inode)
            self._met.add(relative)

    def _unsettle(self, relative: str) -> None:
        """Forget that a folder has nothing else than what both sides have: an entry changes."""
        if not relative:
            return
        parent = parent_of(relative)
        folder = self._folders.get(parent)
        if folder is not None and folder.state:
            self._folders[parent] = replace(folder, state=b"")

    def note_here(self, relative: str, path: Path, found: TreeNode) -> None:
        """Remember a file that was just written, with the time that its file system gave."""
        facts = local_facts(path)
        if facts is not None and facts.size == found.metadata.size:
            node = found.keyed.node
            self.note(relative, facts, content_root(found), node, found.metadata.mode)

    @property
    def state(self) -> PairState:
        """What both sides have, as far as it is known."""
        return replace(
            self.before,
            complete=self._complete,
            files=self._files,
            folders=self._folders,
            made_by=self._made_by,
            heads=self._heads,
        )

    def start_over(self) -> None:
        """Forget the common state: it says nothing about what is missing now."""
        self._files, self._folders, self._heads = {}, {}, {}
        self._complete, self._last, self._made_by = False, {}, ""

    def finish(
        self,
        heads: dict[bytes, Head],
        still: StillFolders,
        followed: FollowedFolders,
        *,
        whole: bool,
    ) -> None:
        """Note that the sync is complete; `whole`: it left nothing out.

        `heads` are the states of the remote folders now. Files and folders that a whole sync did
        not meet are forgotten: no side has them any longer.
        """
        self._complete, self._heads = True, heads
        if whole:
            met = self._met | still.met
            self._files = {path: one for path, one in self._files.items() if path in met}
            self._folders = {path: one for path, one in self._folders.items() if path in met}
        self.settle(still, followed)

    def settle(self, still: StillFolders, followed: FollowedFolders) -> None:
        """Note, after a complete sync, the folders that need no listing until they change."""
        self._made_by = still.made_by
        self._folders = settled(self._files, self._folders, followed)

    def _conflict(self, named: str, change: Change, done: str, then: str) -> ConflictError:
        """Return the error for one file; only the first has a hint, as it is the same for all."""
        since = _SINCE.get(change)
        if since is None:
            since = "differs, and was not in the last sync from here"
            if done == "removed":
                since = "is new since the last sync from here"
        hint = None if self._explained else f"Compare both. With --force it is {done}; {then}."
        self._explained = True
        return ConflictError(f"{named} {since}; it was not {done}.", hint=hint)


def content_root(found: TreeNode) -> Root:
    """Return the root of a file's content, zeros for a folder."""
    content = found.manifest.body.content
    return content.root if content is not None else Root(bytes(crypto.HASH_SIZE))


def shown_here(path: Path) -> str:
    """Return a local path for an error."""
    return f"The local '{for_terminal(str(path))}'"
