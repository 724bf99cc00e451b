"""Removal of remote nodes: those that the source lacks, and those that another kind replaces."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from fsclient.transfer.filters import Facts
from fsclient.transfer.local.folder_names import LocalFolder, not_both_here
from fsclient.transfer.relative import below
from fsclient.transfer.run import TransferRun
from fsclient.tree.nodes import TreeNode
from fskit.file_names import FolderNames
from fsproto.errors import ExistsError
from fsproto.keys.tree import KeyedNode


class RemoteRemoval:
    """Decides which remote nodes an upload may remove; what filters leave out stays."""

    def __init__(self, task: TransferRun, names: FolderNames) -> None:
        """`names` answers for the local folders."""
        self._tree = task.session.tree
        self._failures = task.failures
        self._rules = task.rules
        self._guard = task.guard
        self._names = names
        self.extra: list[tuple[KeyedNode, TreeNode]] = []
        """The nodes that the source lacks, each with its folder."""

    def is_left_out(
        self, local: Path, relative: str, facts: Callable[[], Facts | None] | None
    ) -> bool:
        """Return whether filters leave out an entry of the folder `local`, or of its remote one.

        `facts` is as for `Filters.leave_out`.
        """
        folds = partial(self._names.folds_case, local)
        return self._rules.filters.leave_out(relative, facts, folds)

    def _stays(self, local: Path, relative: str, found: TreeNode) -> bool:
        return self.is_left_out(local, relative, _facts_of(found))

    def note_extra(
        self, parent: KeyedNode, local: LocalFolder, there: dict[str, TreeNode], relative: str
    ) -> None:
        """Note the remote nodes that the local folder lacks, for their removal.

        A local file system may treat the names of several nodes as one name. The local folder can
        then hold only one of these nodes, but this is no reason to remove the others. `relative` is
        the path of the folder from the top folder.
        """
        for name, found in there.items():
            if local.has(name):
                continue
            place = below(relative, name)
            rivals = [one for one in there if one != name and local.is_one(one, name)]
            if rivals and not self._stays(local.path, place, found):
                self._failures.note(not_both_here(found.path, rivals[0], local.path))
                continue
            extra = self._removable(parent, found, place, local.path)[0]
            with self._failures.noted():
                for _, node in extra:
                    inside = node.path.parts[len(found.path.parts) :]
                    self._check_removal(node, "/".join((place, *inside)))
                self.extra += extra

    def _removable(
        self, parent: KeyedNode, found: TreeNode, relative: str, local: Path
    ) -> tuple[list[tuple[KeyedNode, TreeNode]], bool]:
        """Return the nodes to remove, and whether that is everything; excluded nodes stay.

        `local` is the local folder that stands for the node's folder; it may not exist.
        """
        if self._stays(local, relative, found):
            return [], False
        if not self._rules.filters or not found.is_folder:
            return [(parent, found)], True
        contents = self._tree.children(found)
        if contents.refused:  # its name is unknown, so it may be excluded
            raise contents.refused[0].error
        parts = [
            self._removable(
                found.keyed,
                child,
                below(relative, child.metadata.name),
                local / found.metadata.name,
            )
            for child in contents.nodes
        ]
        if all(whole for _, whole in parts):
            return [(parent, found)], True
        return [one for some, _ in parts for one in some], False

    def replaceable(
        self, parent: KeyedNode, before: TreeNode, relative: str, local: Path
    ) -> TreeNode:
        """Return `before` if a node of another kind may replace it; else raise `ExistsError`."""
        kinds = ("folder", "file") if before.is_folder else ("file", "folder")
        sentence = f"'{before.path}' is a {kinds[0]}; a {kinds[1]} cannot take its place"
        if not self._rules.delete:
            hint = "Give --delete to have it replaced." if self._rules.mirror else None
            raise ExistsError(f"{sentence}.", hint=hint)
        if not self._removable(parent, before, relative, local)[1]:
            raise ExistsError(f"{sentence}: it contains excluded files.")
        self._check_removal(before, relative)
        return before

    def _check_removal(self, found: TreeNode, relative: str) -> None:
        """Raise `ConflictError` unless a node may be removed with all that it contains."""
        left = [(found, relative)] if self._guard.checks_removals else []
        while left:
            node, place = left.pop()
            if not node.is_folder:
                self._guard.check_removal_there(place, node)
                continue
            contents = self._tree.children(node)
            if contents.refused:
                raise contents.refused[0].error
            left += [(child, below(place, child.metadata.name)) for child in contents.nodes]


def _facts_of(found: TreeNode) -> Callable[[], Facts] | None:
    return None if found.is_folder else lambda: found.metadata
