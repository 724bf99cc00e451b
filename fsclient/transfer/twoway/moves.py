"""Finds what was moved or renamed on one side since the last sync, to move it on the other side.

Pure: no disk, no network. Remote files and folders are recognised by their node. A local folder is
recognised by its number on the file system and a file in it, a local file by its content, or by its
number if the remote file has changed since.

An uncertain move is not made: the entry is removed and copied like all others. A move is uncertain
if the new name is taken on the other side, if both sides have moved the entry, or if the other side
has removed it or its new folder. Of names that are taken by files which have moved themselves, or
are gone, `exchanges` decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from fsclient.transfer.local.files import LocalStat
from fsclient.transfer.pairs.state import PairState, SyncedFile, SyncedFolder
from fsclient.transfer.relative import is_below, parent_of
from fsclient.transfer.twoway.exchanges import Files, Row, rows
from fsclient.transfer.twoway.plan import Local, Remote, RemoteFile
from fskit.file_names import folded_name
from fsproto.sealed.manifest import Mode
from fsproto.types import NodeId
from fsproto.values import Value

T = TypeVar("T")
BETWEEN = "\0"
"""The path of no entry."""
_FILE = object()
_TRIES = 8
"""New local files whose content is compared with that of one missing file."""


class Move(Value, frozen=True):
    """A move to be done on one side, after those before it; both paths are from the top folder."""

    here: bool
    """Whether the local entry is moved; else the remote one."""
    old: str
    new: str
    node: NodeId
    """The remote entry."""
    folders: list[str]
    """The folders to create for it on that side first, in order."""
    replaces: bool = False
    """Whether it replaces a file of that side."""
    ring: list[tuple[str, str, NodeId]] = msgspec.field(default_factory=list)
    """Further files that move in the same act: each one takes the place of the one before it, and
    this entry takes the place of the last one."""

    @property
    def all(self) -> list[tuple[str, str, NodeId]]:
        """All moves of the act: old path, new path and remote entry."""
        return [(self.old, self.new, self.node), *self.ring]

    @property
    def changes(self) -> list[tuple[str, str]]:
        """The moves one after the other, in which a place between frees the first one of a ring."""
        if not self.ring:
            return [(self.old, self.new)]
        others = [(old, new) for old, new, _ in self.ring]
        return [(self.old, BETWEEN), *others, (BETWEEN, self.new)]


class Listed(Value, frozen=True):
    """Both sides as they were listed, without what the sync leaves alone."""

    local: Local
    remote: Remote
    inodes: Mapping[str, int]
    """The numbers of the local folders."""
    nodes: Mapping[str, NodeId]
    """The nodes of the remote entries, and of the top folder."""


class Checks(Value, frozen=True):
    """What the caller finds out about a possible move."""

    same: Callable[[NodeId, str], bool]
    """Returns whether a remote file and the local file at a path have the same content."""
    may_move: Callable[[NodeId, NodeId], bool]
    """Returns whether something may be moved from one remote folder to another."""


def find_moves(
    listed: Listed,
    last: PairState,
    checks: Checks,
    stay: Collection[str] = (),
    *,
    may_replace: bool = True,
) -> list[Move]:
    """Return the moves that bring one side to where the other one has moved something.

    `stay`: entries that are not moved, by the path that the last sync left. `may_replace`: whether
    a move may replace a file. Before a complete sync, nothing is moved.
    """
    finder = _Finder(listed, last, checks, stay, may_replace=may_replace)
    return list(finder.run()) if last.complete else []


def moved(entries: Mapping[str, T], old: str, new: str) -> dict[str, T]:
    """Return entries by path, with one of them and everything below it moved."""
    return {
        new + path[len(old) :] if is_below(path, old) else path: one
        for path, one in entries.items()
    }


class _Finder:
    """Both sides and the last common state, as they will be after the moves found so far."""

    def __init__(
        self,
        listed: Listed,
        last: PairState,
        checks: Checks,
        stay: Collection[str],
        *,
        may_replace: bool,
    ) -> None:
        self._may_replace = may_replace
        self._here: dict[str, LocalStat | None] = dict(listed.local)
        self._there: dict[str, RemoteFile | None] = dict(listed.remote)
        self._inodes = dict(listed.inodes)
        self._nodes = dict(listed.nodes)
        self._files: dict[str, SyncedFile] = dict(last.files)
        self._folders: dict[str, SyncedFolder] = dict(last.folders)
        self._folders.pop("", None)
        self._checks = checks
        self._stay = set(stay)
        self._taken = {folded_name(path) for path in self._here}
        """Names that no local entry may take; some file systems do not tell them apart."""

    def run(self) -> Iterator[Move]:
        """Yield the moves: folders first, since they take along what is in them."""
        while (move := self._folder_move()) is not None:
            yield move
        for here in (True, False):
            yield from self._rows(here=here)
        yield from self._files_moved_there()
        yield from self._files_moved_here()

    # --- folders

    def _folder_move(self) -> Move | None:
        """Return the move of one folder, and take it as done; what it is moved into comes first."""
        there = {
            node: path for path, node in self._nodes.items() if self._there.get(path, _FILE) is None
        }
        here = {
            self._inodes[path]: path
            for path, one in self._here.items()
            if one is None and path not in self._folders and self._inodes.get(path)
        }
        moves = []
        for old, folder in self._folders.items():
            by_node, by_inode = there.get(folder.node), here.get(folder.inode)
            if by_node is not None and by_node not in self._folders:
                moves.append((by_node, old, folder.node, True))
            elif by_node == old and by_inode is not None and self._is_moved_folder(old, by_inode):
                moves.append((by_inode, old, folder.node, False))
        accepted = (self._accept(old, new, node, here=led) for new, old, node, led in sorted(moves))
        return next((move for move in accepted if move is not None), None)

    def _is_moved_folder(self, old: str, new: str) -> bool:
        """Return whether a file of a missing folder is in a new one: numbers are used again."""
        return any(
            (facts := self._here.get(new + path[len(old) :])) is not None
            and file.is_unchanged(facts)
            for path, file in self._files.items()
            if is_below(path, old)
        )

    # --- files

    def _rows(self, *, here: bool) -> Iterator[Move]:
        """Yield the moves of files that take each other's names on one side."""
        follows = self._here if here else self._there

        def can_go(old: str, new: str) -> bool:
            if old in self._stay:
                return False
            if new in follows:
                return follows[new] is not None and (here or self._may_move(old, new))
            is_free = folded_name(new) not in self._taken if here else self._may_move(old, new)
            return is_free and self._missing(parent_of(new), follows) is not None

        files = Files(dict(self._files), self._here, self._there, self._nodes)
        found = rows(files, here=here, can_go=can_go, may_replace=self._may_replace)
        for row in list(found):
            if here or all(self._checks.same(self._files[old].node, new) for old, new in row.pairs):
                yield from self._row(row, follows, here=here)

    def _row(
        self,
        row: Row,
        follows: dict[str, LocalStat | None] | dict[str, RemoteFile | None],
        *,
        here: bool,
    ) -> Iterator[Move]:
        """Yield the moves of one row, and take them as done."""
        (old, new), *others = row.pairs
        sides = (self._here, self._inodes) if here else (self._there, self._nodes)
        tables = (*sides, self._files)
        named = [(old, new, self._files[old].node) for old, new in others]
        node = self._files[old].node
        if row.is_ring:
            moves = [Move(here, old, new, node, [], ring=named)]
        else:
            folders = self._missing(parent_of(new), follows) or []
            for folder in folders:
                follows[folder] = None
            if here:
                self._taken.add(folded_name(new))
            if row.replaces:
                for entries in tables:
                    entries.pop(new, None)
            first = Move(here, old, new, node, folders, row.replaces)
            moves = [first, *(Move(here, *one, []) for one in named)]
        for move in moves:
            for change in move.changes:
                for entries in tables:
                    _shift(entries, *change, is_folder=False)
            yield move

    def _files_moved_there(self) -> Iterator[Move]:
        placed = {node: path for path, node in self._nodes.items() if self._there.get(path)}
        for old, file in sorted(self._files.items()):
            new = placed.get(file.node)
            if new is not None and new not in self._files:
                found = self._accept(old, new, file.node, here=True)
                if found is not None:
                    yield found

    def _files_moved_here(self) -> Iterator[Move]:
        new = {
            path: facts
            for path, facts in self._here.items()
            if facts is not None and path not in self._files and path not in self._there
        }
        gone = [path for path in sorted(self._files) if path not in self._here]
        by_inode = {facts.inode: path for path, facts in new.items() if facts.inode}
        by_size: defaultdict[tuple[int, bool], list[str]] = defaultdict(list)
        for path, facts in new.items():
            by_size[_kind(facts)].append(path)
        for old in gone:
            file, there = self._files[old], self._there.get(old)
            if there is None or self._nodes[old] != file.node:
                continue
            candidates = self._candidates(file, by_inode, by_size, new)
            target = self._first_same(file, there, candidates, new)
            found = target and self._accept(old, target, file.node, here=False)
            if found and target:
                by_size[_kind(new[target])].remove(target)
                yield found

    def _candidates(
        self,
        file: SyncedFile,
        by_inode: Mapping[int, str],
        by_size: Mapping[tuple[int, bool], list[str]],
        new: Mapping[str, LocalStat],
    ) -> list[str]:
        """Return the new local files that a missing one may be, the likeliest first."""
        alike = by_size.get((file.size, file.mode is Mode.SYMLINK), [])
        likely = by_inode.get(file.inode) if file.inode else None
        first = [likely] if likely is not None and likely in alike else []
        if not file.size:  # all empty files have the same content
            return first
        rest = sorted(alike, key=lambda path: not file.is_local(new[path]))
        return [*first, *(path for path in rest if path != likely)][:_TRIES]

    def _first_same(
        self,
        file: SyncedFile,
        there: RemoteFile,
        candidates: Iterable[str],
        new: Mapping[str, LocalStat],
    ) -> str | None:
        """Return the first candidate that is the missing file."""
        for path in candidates:
            if there.root == file.root:
                if self._checks.same(file.node, path):
                    return path
            elif file.is_unchanged(new[path]) and file.inode == new[path].inode:
                return path
        return None

    # --- both

    def _accept(self, old: str, new: str, node: NodeId, *, here: bool) -> Move | None:
        """Return a move, and take it as done; None if that side cannot follow."""
        follows: dict[str, LocalStat | None] | dict[str, RemoteFile | None]
        follows, leads = (self._here, self._there) if here else (self._there, self._here)
        if old in leads or old not in follows or new in follows or is_below(new, old):
            return None
        is_folder = follows[old] is None
        if is_folder != (leads[new] is None) or old in self._stay:
            return None
        folders = self._missing(parent_of(new), follows)
        if folders is None or not (self._is_free(new) if here else self._may_move(old, new)):
            return None
        for folder in folders:
            follows[folder] = None
        sides = (self._here, self._inodes) if here else (self._there, self._nodes)
        for entries in (*sides, self._files, self._folders):
            _shift(entries, old, new, is_folder=is_folder)
        return Move(here, old, new, node, folders)

    def _is_free(self, new: str) -> bool:
        """Return whether a local entry may get this path; then it is taken."""
        name = folded_name(new)
        is_free = name not in self._taken
        self._taken.add(name)
        return is_free

    def _may_move(self, old: str, new: str) -> bool:
        target = parent_of(new)
        while target not in self._nodes:  # a folder that is created for the move
            target = parent_of(target)
        source, into = self._nodes[parent_of(old)], self._nodes[target]
        return source == into or self._checks.may_move(source, into)

    def _missing(
        self, folder: str, follows: Mapping[str, LocalStat | None] | Mapping[str, RemoteFile | None]
    ) -> list[str] | None:
        """Return the folders to create for an entry in `folder`; None if that is impossible."""
        missing: list[str] = []
        while folder and folder not in follows:
            if folder in self._folders:  # that side has removed it
                return None
            missing.append(folder)
            folder = parent_of(folder)
        if folder and follows[folder] is not None:
            return None
        return missing[::-1]


def _shift(entries: dict[str, Any], old: str, new: str, *, is_folder: bool) -> None:
    """Move an entry, and everything below it."""
    if is_folder:
        after = moved(entries, old, new)
        entries.clear()
        entries.update(after)
    elif old in entries:
        entries[new] = entries.pop(old)


def _kind(facts: LocalStat) -> tuple[int, bool]:
    return facts.size, facts.mode is Mode.SYMLINK
