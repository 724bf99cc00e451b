"""Finds files that took each other's names on one side, or the name of a file that is gone.

Pure. `a` and `b` may have changed places, `a` may have replaced `b`, and so may longer rows of
files. A row is moved as a whole or not at all: the other side must still have all its files as the
last sync left them. Single moves to names that are free belong to `moves`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from fsclient.transfer.compare import same_mode
from fsclient.transfer.local.files import LocalStat
from fsclient.transfer.pairs.state import SyncedFile
from fsclient.transfer.twoway.plan import RemoteFile
from fsproto.types import NodeId
from fsproto.values import Value

Paths = dict[str, str]
"""New paths by old ones."""


class Row(Value, frozen=True):
    """Files that move together: pairs of old and new path, each after the one whose place it takes.

    In a ring, the first one takes the place of the last one.
    """

    pairs: list[tuple[str, str]]
    replaces: bool
    """Whether the first one takes the place of a file that the leading side no longer has."""

    @property
    def is_ring(self) -> bool:
        """Whether every place that is taken was one of theirs."""
        return self.pairs[0][1] == self.pairs[-1][0]


class Files(Value, frozen=True):
    """The files that both sides had, and how each side has them now."""

    last: Mapping[str, SyncedFile]
    local: Mapping[str, LocalStat | None]
    remote: Mapping[str, RemoteFile | None]
    nodes: Mapping[str, NodeId]


def rows(
    files: Files, *, here: bool, can_go: Callable[[str, str], bool], may_replace: bool
) -> Iterator[Row]:
    """Yield the rows that one side follows: the local one (`here`), or else the remote one.

    `can_go` returns whether one file could move there, if its new name were free; it also decides
    on names that are.
    """
    leads, follows = (files.remote, files.local) if here else (files.local, files.remote)
    placed = _remote_places(files) if here else _local_places(files)
    still = _unchanged(files, here=here)
    found = {
        old: new for old, new in placed.items() if new != old and old in still and can_go(old, new)
    }

    def is_whole(old: str, new: str, taken: set[str]) -> bool:
        if old in leads and old not in taken:
            return False  # another file has the old name
        if new not in follows or new in found:
            return True
        return may_replace and new in still and new not in placed

    while found:
        taken = set(found.values())
        kept = {old: new for old, new in found.items() if is_whole(old, new, taken)}
        if len(kept) == len(found):
            break
        found = kept
    for row in _in_rows(found):
        first = row[0][1]
        replaces = first in follows and first not in found
        if len(row) > 1 or replaces:
            yield Row(row, replaces)


def _unchanged(files: Files, *, here: bool) -> set[str]:
    """Return the paths of the files that one side still has as the last sync left them."""
    if here:
        return {
            path
            for path, file in files.last.items()
            if (facts := files.local.get(path)) is not None
            and file.is_unchanged(facts)
            and (not file.inode or file.inode == facts.inode)
        }
    return {
        path
        for path, file in files.last.items()
        if (found := files.remote.get(path)) is not None
        and file.root == found.root
        and same_mode(file.remote_mode, found.mode)
        and files.nodes.get(path) == file.node
    }


def _remote_places(files: Files) -> Paths:
    """Return where the remote files are now, by where they were."""
    now = {node: path for path, node in files.nodes.items() if files.remote.get(path)}
    return {old: now[file.node] for old, file in files.last.items() if file.node in now}


def _local_places(files: Files) -> Paths:
    """Return where the local files are now, by where they were; not those with several names."""
    found = {path: facts for path, facts in files.local.items() if facts is not None}
    names = Counter(facts.inode for facts in found.values())
    now = {facts.inode: path for path, facts in found.items() if names[facts.inode] == 1}
    now.pop(0, None)
    return {
        old: new
        for old, file in files.last.items()
        if (new := now.get(file.inode)) is not None and file.is_unchanged(found[new])
    }


def _in_rows(found: Paths) -> Iterator[list[tuple[str, str]]]:
    """Yield the moves in rows, in the order in which places become free."""
    by_new = {new: old for old, new in found.items()}
    left = dict(sorted(found.items()))
    ends = [old for old, new in left.items() if new not in found]
    for start in ends + list(left):  # what no end leads to is a ring
        if start not in left:
            continue
        row, old = [], start
        while old in left:
            row.append((old, left.pop(old)))
            if old not in by_new:
                break
            old = by_new[old]
        yield row
