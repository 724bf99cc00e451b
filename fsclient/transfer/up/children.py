"""The children of a local folder, each with the remote node of the same name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from fsclient.transfer.local.files import FOLDER, SPECIAL, LocalEntry, is_passing
from fsclient.transfer.local.folder_names import LocalFolder, same_names_error
from fsclient.transfer.local.symlinks import local_facts
from fsclient.transfer.pairs.still import StillFolders
from fsclient.transfer.relative import below
from fsclient.transfer.report import actions as what
from fsclient.transfer.run import TransferRun
from fsclient.transfer.up.removal import RemoteRemoval
from fsclient.transfer.up.target import TargetFolder, checked_name
from fsclient.tree.contents import RefusedEntry, RefusedShare
from fsclient.tree.nodes import TreeNode
from fskit.file_names import FolderNames

_NAMES_AT_ONCE = 500

Child = tuple[str, LocalEntry, TreeNode | None]
"""A remote name, the local entry, and the remote node of this name, if any."""


class FolderChildren:
    """Finds which entries of a folder are uploaded, and what they meet in the remote folder."""

    def __init__(
        self,
        task: TransferRun,
        removal: RemoteRemoval,
        names: FolderNames,
        still: StillFolders | None,
    ) -> None:
        """`still` finds the folders that need not be compared; None: all are compared."""
        self._still = still
        self._tree = task.session.tree
        self._progress = task.progress
        self._failures = task.failures
        self._actions = task.actions
        self._rules = task.rules
        self._names = names
        self._removal = removal

    def to_upload(
        self, here: TargetFolder, local: Path, inside: list[LocalEntry], relative: str
    ) -> Iterable[Child]:
        """Return the children of the folder `local` to upload into a remote one.

        `inside` is everything in it. In mirrored folders, remote nodes that have no local entry
        are noted for their removal.
        """
        named = self._named(local, inside, relative)
        folders = self._still_inside(here, named, relative)
        if folders is not None:
            return folders
        return self._met(here, local, named, [child.name for child in inside], relative)

    def _still_inside(
        self, here: TargetFolder, named: dict[str, LocalEntry], relative: str
    ) -> list[Child] | None:
        """Return the folders in a folder whose files are the same on both sides; None: compare."""
        if self._still is None or here.located is None:
            return None
        local = {name: child for name, child in named.items() if child.kind != SPECIAL}
        folders = self._still.inside(relative, here.located, local)
        if folders is None:
            return None
        beginning = str(here.path.child("_"))[:-1]
        for name, size in self._still.sizes(relative):
            self._actions.note(what.SKIP, f"{beginning}{name}")
            self._progress.file_spared(size)
        return [(name, local[name], found) for name, found in folders.items()]

    def _met(
        self,
        here: TargetFolder,
        local: Path,
        named: dict[str, LocalEntry],
        all_names: list[str],
        relative: str,
    ) -> Iterator[Child]:
        """Yield each child to upload, with the remote node of the same name, if any.

        `all_names` has the entries that filters leave out, too: they are there.
        """
        put = [(name, child) for name, child in named.items() if child.kind != SPECIAL]
        if here.located is None:
            yield from ((name, child, None) for name, child in put)
        elif self._rules.mirror:
            contents = self._tree.children(here.located)
            # Noted first: after a failure, no existing node is removed.
            for refused in contents.refused:
                self._failures.note(refused.error)
            there = {one.metadata.name: one for one in contents.nodes}
            if self._rules.delete:
                folder = LocalFolder(local, self._names, all_names)
                self._removal.note_extra(here.keyed, folder, there, relative)
            yield from (
                (name, child, there.get(name))
                for name, child in put
                if contents.refused_as(name) is None
            )
        else:
            for at in range(0, len(put), _NAMES_AT_ONCE):
                some = put[at : at + _NAMES_AT_ONCE]
                met = self._tree.look_each(here.located, [name for name, _ in some])
                for name, child in some:
                    before = met[name]
                    if isinstance(before, RefusedEntry | RefusedShare):
                        self._failures.note(before.error)
                    else:
                        yield name, child, before

    def _named(self, local: Path, inside: list[LocalEntry], relative: str) -> dict[str, LocalEntry]:
        """Return the entries that are not excluded, by their remote names.

        Entries with the same remote name are a failure; none of them is put.
        """
        named: dict[str, list[LocalEntry]] = {}
        for child in inside:
            facts = None if child.kind == FOLDER else partial(local_facts, child.place)
            if self._removal.is_left_out(local, below(relative, child.name), facts):
                self._actions.excluded += 1
            elif is_passing(child.name):
                self._failures.skip(child.place, "partial file of an unfinished download")
            else:
                with self._failures.noted():
                    named.setdefault(checked_name(child.place, child.name), []).append(child)
        for some in named.values():
            if len(some) > 1:
                self._failures.note(same_names_error([child.place for child in some]))
            elif some[0].kind == SPECIAL:
                self._failures.skip(some[0].place, SPECIAL)
        return {name: some[0] for name, some in named.items() if len(some) == 1}
