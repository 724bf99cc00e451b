"""The folders in which nothing happened on either side since the last complete sync.

A sync lists no remote folder whose newest state is that of the end of the last sync, if the local
folder is as the last sync left it, too. The last sync has verified that state, and compared its
entries with what both sides had. The newest state is verified like that of a listing, so an older
one is an alarm.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from fsclient.transfer.local.files import FOLDER, LocalEntry, LocalStat
from fsclient.transfer.local.symlinks import local_facts
from fsclient.transfer.pairs.state import PairState, SyncedFile, SyncedFolder
from fsclient.transfer.relative import below, parent_of
from fsclient.tree.current import CurrentStates
from fsclient.tree.followed import Entry, FollowedFolders
from fsclient.tree.nodes import TreeNode
from fsclient.tree.tree import Tree
from fsproto.types import NO_HASH, Root

_NO_CONTENT = Root(NO_HASH)


class StillFolders:
    """Finds these folders during one sync."""

    def __init__(self, tree: Tree, last: PairState, made_by: str, *, use: bool = True) -> None:
        """Ask for the states of all folders of `last`.

        `made_by` is what this sync does: `up`, `down` or `both`. Without `use`, no folder is still.
        """
        self.made_by = made_by
        self.met: set[str] = set()
        """The paths of all files and folders that are in a folder that is still."""
        use = use and last.complete and last.made_by == made_by
        self._last = last.folders if use else {}
        self._inside = _by_folder(last) if use else {}
        nodes = [folder.node for folder in self._last.values() if folder.state]
        self._states = CurrentStates(tree, nodes)
        self._followed = tree.followed

    def inside(
        self, relative: str, found: TreeNode, local: Mapping[str, LocalEntry | LocalStat | None]
    ) -> dict[str, TreeNode] | None:
        """Return the folders in a remote folder that is still, by name; None if it is not.

        `relative` is its path from the top folder. `local` has all local entries that take part, by
        name: folders are entries or None, files are entries or their facts.
        """
        last = self._last.get(relative)
        if last is None or not last.state or last.node != found.keyed.node:
            return None
        inside = self._inside[relative]
        if inside.keys() != local.keys():
            return None
        if not all(_is_as_before(inside[name], entry) for name, entry in local.items()):
            return None
        state = self._states.of(found.keyed)
        if state is None or state.hash != last.state:
            return None
        folders = {name: one for name, one in inside.items() if isinstance(one, SyncedFolder)}
        opened = {
            name: self._states.open_folder(found, one.manifest)
            for name, one in folders.items()
            if one.manifest is not None
        }
        if len(opened) < len(folders):
            return None
        if self._followed is not None:
            self._followed.known(state, map(_entry, inside.values()))
        self.met.update(below(relative, name) for name in inside)
        return opened

    def sizes(self, relative: str) -> Iterator[tuple[str, int]]:
        """Yield the name and the size of each file in a folder that is still."""
        for name, one in self._inside[relative].items():
            if isinstance(one, SyncedFile):
                yield name, one.size


def _is_as_before(last: SyncedFile | SyncedFolder, entry: LocalEntry | LocalStat | None) -> bool:
    if isinstance(last, SyncedFolder):
        return entry is None or (isinstance(entry, LocalEntry) and entry.kind == FOLDER)
    if isinstance(entry, LocalEntry):
        entry = local_facts(entry.place) if entry.kind != FOLDER else None
    return entry is not None and last.is_unchanged(entry)


def _entry(last: SyncedFile | SyncedFolder) -> Entry:
    return last.node, last.root if isinstance(last, SyncedFile) else _NO_CONTENT


def _by_folder(last: PairState) -> dict[str, dict[str, SyncedFile | SyncedFolder]]:
    """Return what the last sync left in each folder, by the folder's path and by name."""
    inside: dict[str, dict[str, SyncedFile | SyncedFolder]] = {path: {} for path in last.folders}
    both: tuple[Mapping[str, SyncedFile | SyncedFolder], ...] = (last.files, last.folders)
    for side in both:
        for path, one in side.items():
            folder, _, name = path.rpartition("/")
            if path and folder in inside:
                inside[folder][name] = one
    return inside


def settled(
    files: Mapping[str, SyncedFile],
    folders: Mapping[str, SyncedFolder],
    followed: FollowedFolders,
) -> dict[str, SyncedFolder]:
    """Return the folders after a complete sync, with the states that need no listing.

    These are the states whose entries are what both sides have, and nothing else.
    """
    inside: defaultdict[str, set[Entry]] = defaultdict(set)
    for path, file in files.items():
        inside[parent_of(path)].add((file.node, file.root))
    for path, folder in folders.items():
        if path:
            inside[parent_of(path)].add((folder.node, _NO_CONTENT))

    def state_of(path: str, folder: SyncedFolder) -> bytes:
        state = followed.state(folder.node)
        has_others = state is None or followed.entries(folder.node) != inside[path]
        return b"" if state is None or has_others else state.hash

    return {
        path: replace(
            folder,
            manifest=followed.manifest(folder.node) or folder.manifest,
            state=state_of(path, folder),
        )
        for path, folder in folders.items()
    }
