"""The lists of both sides of a two-way sync, and the entries that it must leave alone.

Left alone are entries that filters leave out, special files, names that one side cannot hold, and
all that could not be read: none of them counts as missing.
"""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fsclient.local_errors import local_errors
from fsclient.transfer.filters import Facts
from fsclient.transfer.local.files import (
    FOLDER,
    SPECIAL,
    LocalEntry,
    LocalStat,
    children,
    inode_of,
    is_passing,
)
from fsclient.transfer.local.folder_names import LocalFolder, same_names_error
from fsclient.transfer.local.symlinks import local_facts
from fsclient.transfer.pairs.guard import content_root
from fsclient.transfer.pairs.state import PairState
from fsclient.transfer.pairs.still import StillFolders
from fsclient.transfer.relative import below, is_below, parent_of
from fsclient.transfer.run import TransferRun
from fsclient.transfer.twoway.moves import moved
from fsclient.transfer.twoway.plan import RemoteFile
from fsclient.transfer.up.target import checked_name
from fsclient.tree.contents import FolderContents
from fsclient.tree.nodes import TreeNode
from fsproto.errors import ExistsError, FsError, InvalidNameError, SecurityError
from fsproto.limits import MAX_PATH_PARTS
from fsproto.names import RemotePath, canonical_name, for_terminal

_NAMELESS = "\0"
"""Stands for an entry whose name is unknown: its folder is not removed as empty."""


class Sides:
    """Both sides as they were listed; all paths are from the top folder, in NFC."""

    def __init__(
        self, task: TransferRun, top: Path, remote: RemotePath, told: set[str] | None = None
    ) -> None:
        """`told`: the entries that an earlier round has reported; new ones are added."""
        self._told = set() if told is None else told
        self._task = task
        self._failures = task.failures
        self._names = task.names(may_write=True)
        self._top = top
        self._remote_top = remote
        self.local: dict[str, LocalStat | None] = {}
        self.remote: dict[str, RemoteFile | None] = {}
        self.nodes: dict[str, TreeNode] = {}
        """The remote nodes, with the top folder as the empty path."""
        self.left_alone: set[str] = set()
        self.sure = True
        """Whether all that could be missing is known to be missing."""
        self.inodes: dict[str, int] = {}
        """The numbers of the local folders."""
        self._paths: dict[str, str] = {"": str(top)}
        self._raw: dict[str, list[str]] = defaultdict(list)
        """The names on disk of the entries of each local folder."""

    def place(self, relative: str) -> Path:
        """Return the local path of an entry, which may not exist."""
        found = self._paths.get(relative)
        if found is None:
            return self.place(parent_of(relative)) / relative.rpartition("/")[2]
        return Path(found)

    def renamed(self, old: str, new: str, path: Path) -> None:
        """Record that a local file was renamed to `path`."""
        self.local[new] = self.local.pop(old)
        self._paths[new] = str(path)
        del self._paths[old]

    def replaced(self, path: str, *, here: bool) -> None:
        """Record that the file at a path is about to be replaced by one that is moved there."""
        tables: tuple[dict[str, Any], ...] = (self.remote, self.nodes)
        if here:
            tables = (self.local, self._paths)
        for entries in tables:
            del entries[path]

    def moved_here(self, old: str, new: str) -> None:
        """Record that a local entry was moved, with everything below it."""
        before, after = str(self.place(old)), str(self.place(new))
        self.local = moved(self.local, old, new)
        self.inodes = moved(self.inodes, old, new)
        self._paths = moved(self._paths, old, new)
        for path in self._paths:
            if is_below(path, new):
                self._paths[path] = after + self._paths[path][len(before) :]

    def moved_there(self, old: str, new: str) -> None:
        """Record that a remote entry was moved, with everything below it."""
        self.remote = moved(self.remote, old, new)
        self.nodes = moved(self.nodes, old, new)

    def _leave(self, relative: str, error: FsError | None = None) -> None:
        self.left_alone.add(relative)
        if error is not None and self._is_news(relative):
            self._failures.note(error)

    def _is_news(self, relative: str) -> bool:
        is_news = relative not in self._told
        self._told.add(relative)
        return is_news

    def _is_left_out(
        self, folder: str, relative: str, facts: Callable[[], Facts | None] | None
    ) -> bool:
        if not self._task.rules.filters:
            return False
        folds = partial(self._names.folds_case, self.place(folder))
        if not self._task.rules.filters.leave_out(relative, facts, folds):
            return False
        self._task.actions.excluded += relative not in self.left_alone
        self._leave(relative)
        return True

    # --- the local side

    def list_local(self) -> None:
        """List the local folder; `FsError` if the top folder cannot be read."""
        waiting = [("", children(self._top))]
        self._note_inode("", str(self._top))
        while waiting:
            folder, inside = waiting.pop()
            for relative, entry in self._named(folder, inside):
                try:
                    if entry.kind == FOLDER:
                        waiting.append((relative, self._local_folder(relative, entry)))
                    else:
                        self._local_file(relative, entry)
                except FsError as error:
                    self.sure = False
                    self._leave(relative, error)

    def _named(self, folder: str, inside: list[LocalEntry]) -> list[tuple[str, LocalEntry]]:
        """Return the entries of a folder that take part, by their paths."""
        by_name: dict[str, list[LocalEntry]] = defaultdict(list)
        for entry in inside:
            relative = canonical_name(below(folder, entry.name))
            self._raw[folder].append(entry.name)
            facts = None if entry.kind == FOLDER else partial(local_facts, entry.place)
            if self._is_left_out(folder, relative, facts):
                continue
            if is_passing(entry.name):
                self._leave(relative)
            elif entry.kind == SPECIAL:
                if self._is_news(relative):
                    self._failures.skip(entry.place, SPECIAL)
                self._leave(relative)
            else:
                by_name[relative].append(entry)
        for relative, some in by_name.items():
            if len(some) > 1:
                self._leave(relative, same_names_error([one.place for one in some]))
            else:
                try:
                    self._check_name(relative, some[0])
                except InvalidNameError as error:
                    self._leave(relative, error)
        named = by_name.items()
        return [(path, some[0]) for path, some in named if path not in self.left_alone]

    def _check_name(self, relative: str, entry: LocalEntry) -> None:
        checked_name(entry.place, entry.name)
        if len(self._remote_top.parts) + relative.count("/") >= MAX_PATH_PARTS:
            raise InvalidNameError(
                f"The local '{for_terminal(entry.place)}' lies deeper than {MAX_PATH_PARTS} "
                "folders."
            )

    def _local_folder(self, relative: str, entry: LocalEntry) -> list[LocalEntry]:
        inside = children(entry.path)
        self._note_inode(relative, entry.place)
        self.local[relative] = None
        self._paths[relative] = entry.place
        return inside

    def _note_inode(self, relative: str, place: str) -> None:
        with local_errors(place):
            self.inodes[relative] = inode_of(os.stat(place))  # noqa: PTH116 - of text

    def _local_file(self, relative: str, entry: LocalEntry) -> None:
        facts = local_facts(entry.place)
        if facts is None:  # it has just gone, or become something else
            self._leave(relative)
            return
        self.local[relative] = facts
        self._paths[relative] = entry.place

    # --- the remote side

    def list_remote(
        self, top: TreeNode, still: StillFolders | None = None, last: PairState | None = None
    ) -> None:
        """List the remote folder, after the local one; with both, take what is `still` from `last`.

        A failed security check of a folder is raised: nothing may follow from such a list.
        """
        waiting: deque[tuple[TreeNode, str]] = deque()
        here: defaultdict[str, dict[str, LocalStat | None]] = defaultdict(dict)
        for path, facts in self.local.items():
            folder, _, name = path.rpartition("/")
            here[folder][name] = facts

        def enter(node: TreeNode, relative: str) -> None:
            self.nodes[relative] = node
            folders = None if still is None else still.inside(relative, node, here[relative])
            if folders is None or last is None:
                waiting.append((node, relative))
                return
            for name in here[relative]:
                self._add_unchanged(below(relative, name), last)
            for name, child in folders.items():
                enter(child, below(relative, name))

        enter(top, "")
        for folder, inside in self._task.session.tree.listings(waiting):
            if isinstance(inside, FsError):
                if not folder or isinstance(inside, SecurityError):
                    raise inside
                self.sure = False
                self._leave(folder, inside)
                continue
            self._note_refused(folder, inside)
            names = LocalFolder(self.place(folder), self._names, self._raw.get(folder, ()))
            for node in names.in_order(inside.nodes, key=lambda one: one.path.name):
                relative = below(folder, node.path.name)
                if self._takes_part(folder, relative, node, names):
                    self._add(relative, node)
                    if node.is_folder:
                        enter(node, relative)
        self._leave_empty_folders()

    def _leave_empty_folders(self) -> None:
        """Where filters choose files, leave alone the folders that have no such file."""
        if not self._task.rules.filters.choose_files:
            return
        both = [*self.local.items(), *self.remote.items()]
        files = [path for path, facts in both if facts is not None and path not in self.left_alone]
        needed = {""}
        for path in files:
            above = parent_of(path)
            while above not in needed:
                needed.add(above)
                above = parent_of(above)
        folders = {path for path, facts in both if facts is None}
        self.left_alone |= folders - needed

    def _note_refused(self, folder: str, inside: FolderContents) -> None:
        """Leave alone what may be under the name of an entry that does not verify."""
        for refused in inside.refused:
            self.sure = False
            self._leave(below(folder, _NAMELESS), refused.error)
        if inside.refused:
            for name in self._raw.get(folder, ()):
                if inside.refused_as(canonical_name(name)) is not None:
                    self._leave(canonical_name(below(folder, name)))

    def _takes_part(self, folder: str, relative: str, node: TreeNode, names: LocalFolder) -> bool:
        """Return whether the local side can hold a node and no filter leaves it out."""
        facts = None if node.is_folder else lambda: node.metadata
        if self._is_left_out(folder, relative, facts):
            return False
        try:
            given = canonical_name(names.give(node.path))
            if given != node.path.name:
                self._leave(below(folder, given))
                raise ExistsError(
                    f"'{node.path}' was left alone: the local "
                    f"'{for_terminal(str(names.path))}' takes its name and "
                    f"'{for_terminal(given)}' for one.",
                    hint="Rename one of them: fsclient mv.",
                )
        except (ExistsError, InvalidNameError) as error:
            self._leave(relative, error)
            return False
        return True

    def _add_unchanged(self, relative: str, last: PairState) -> None:
        """Add a remote entry that is as the last sync left it; no step is planned for it."""
        file = last.files.get(relative)
        self.remote[relative] = None
        if file is not None:
            self.remote[relative] = RemoteFile(
                file.size, file.mtime_ns, file.remote_mode, file.root
            )

    def _add(self, relative: str, node: TreeNode) -> None:
        self.nodes[relative] = node
        self.remote[relative] = None
        if not node.is_folder:
            facts = node.metadata
            self.remote[relative] = RemoteFile(
                facts.size, facts.mtime_ns, facts.mode, content_root(node)
            )
