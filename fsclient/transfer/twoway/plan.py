"""The plan of a two-way sync: local files, remote files and the last common state → steps.

Pure: no disk, no network, no clock. A side has changed a file if the file is not as the last common
state says. A change of one side goes to the other. A file that changed on both sides is a conflict.
A change beats a removal: the file is copied back.

A name that is a file on one side and a folder on the other is settled first: the file is removed if
only the other side changed, the folder if all that it contains would be removed, else the file is
renamed. What then takes its place is planned from new lists, in a second round (`Plan.again`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import Enum, auto
from pathlib import PurePosixPath
from typing import TypeVar

from fsclient.transfer.compare import same_mode, same_time
from fsclient.transfer.local.files import LocalStat
from fsclient.transfer.pairs.state import PairState, SyncedFile
from fsclient.transfer.relative import is_below, parent_of
from fskit.file_names import folded_name
from fsproto.limits import MAX_NAME_BYTES
from fsproto.sealed.manifest import Mode
from fsproto.types import Root
from fsproto.values import Value


class RemoteFile(Value, frozen=True):
    """A remote file or symbolic link; the root identifies its content."""

    size: int
    mtime_ns: int
    mode: Mode
    root: Root


T = TypeVar("T")
Local = Mapping[str, LocalStat | None]
"""Local entries by path from the top folder, in NFC; None for a folder."""
Remote = Mapping[str, RemoteFile | None]
"""Remote entries, in the same way."""


class Resolve(Enum):
    """Which version of a conflict keeps the name."""

    BOTH = "both"
    """The remote one; the local one is renamed to a conflict copy."""
    NEWER = "newer"
    """The one with the later time; with the same time, as `BOTH`."""
    LOCAL = "local"
    REMOTE = "remote"


class Do(Enum):
    """What a step does with the entry at its path."""

    RENAME_HERE = auto()
    RENAME_THERE = auto()
    MAKE_HERE = auto()
    """Create the local folder."""
    MAKE_THERE = auto()
    PUT = auto()
    """Send the local file or link; it replaces the remote one."""
    GET = auto()
    NOTE = auto()
    """Remember that both sides have the entry."""
    FORGET = auto()
    """Forget the entry: neither side has it any longer."""
    REMOVE_HERE = auto()
    REMOVE_THERE = auto()


class Step(Value, frozen=True):
    """One step of a plan."""

    do: Do
    path: str
    to: str = ""
    """The new path, of a rename."""
    conflict: bool = False
    """Whether the step decides a conflict."""


class Plan(Value, frozen=True):
    """The steps of one round; the steps of each kind are in the order in which to do them."""

    steps: list[Step]
    again: bool
    """Whether another round must follow."""

    def all(self, do: Do) -> list[Step]:
        """Return the steps of one kind."""
        return [step for step in self.steps if step.do is do]


def to_compare(local: Local, remote: Remote, last: PairState) -> list[str]:
    """Return the files that changed on both sides and may have the same content now."""
    return [
        path
        for path, here in local.items()
        if here is not None
        and (there := remote.get(path)) is not None
        and here.size == there.size
        and (here.mode is Mode.SYMLINK) == (there.mode is Mode.SYMLINK)
        and _changed_here(last.files.get(path), here)
        and _changed_there(last.files.get(path), there)
    ]


def plan(
    local: Local,
    remote: Remote,
    last: PairState,
    *,
    equal: Iterable[str] = (),
    left_alone: Iterable[str] = (),
    resolve: Resolve = Resolve.BOTH,
    mark: str = "conflict",
) -> Plan:
    """Return the steps that make both sides equal.

    `equal`: those of `to_compare` that have the same content. `left_alone`: entries on either side
    that the sync must not touch, such as excluded ones, each with everything below it. `mark` is
    put into the names of conflict copies.

    Without a complete common state, nothing is removed: what one side lacks is copied to it.
    """
    planner = _Planner(
        local, remote, last, left_alone=frozenset(left_alone), resolve=resolve, mark=mark
    )
    return planner.run(frozenset(equal))


def copy_name(path: str, mark: str, number: int = 1) -> str:
    """Return the path of a conflict copy: `a/b.txt` → `a/b (MARK).txt`, `a/b (MARK 2).txt`.

    A name that would be too long is shortened in front of the mark.
    """
    named = PurePosixPath(path)
    end = f" ({mark})" if number == 1 else f" ({mark} {number})"
    suffix = named.suffix if len(named.suffix.encode()) <= _LONGEST_SUFFIX else ""
    stem = named.name.removesuffix(suffix).encode()
    stem = stem[: MAX_NAME_BYTES - len((end + suffix).encode())]
    return str(named.with_name(stem.decode(errors="ignore") + end + suffix))


_LONGEST_SUFFIX = 20
"""Bytes; a longer ending is a part of the name."""


def _folders_above(path: str) -> Iterator[str]:
    while path := parent_of(path):
        yield path


def _changed_here(last: SyncedFile | None, here: LocalStat) -> bool:
    return last is None or not last.is_unchanged(here)


def _changed_there(last: SyncedFile | None, there: RemoteFile) -> bool:
    if last is None or last.root != there.root:
        return True
    return not same_mode(last.remote_mode, there.mode)


def without(entries: Mapping[str, T], left_alone: Collection[str]) -> dict[str, T]:
    """Return the entries that are not left alone, with everything below them."""

    def is_left(path: str) -> bool:
        while path and path not in left_alone:
            path = parent_of(path)
        return bool(path)

    if not left_alone:
        return dict(entries)
    return {path: one for path, one in entries.items() if not is_left(path)}


class _Planner:
    """Both sides as they will be; planned steps change them."""

    def __init__(
        self,
        local: Local,
        remote: Remote,
        last: PairState,
        *,
        left_alone: frozenset[str],
        resolve: Resolve,
        mark: str,
    ) -> None:
        self._held = {above for path in left_alone for above in _folders_above(path)}
        """Folders that cannot be removed whole."""
        self._resolve = resolve
        self._mark = mark
        self._here = without(local, left_alone)
        self._there = without(remote, left_alone)
        self._files = without(last.files, left_alone)
        self._folders = set(without(last.folders, left_alone)) - {""}
        self._removes = last.complete
        self._steps: list[Step] = []
        self._again = False
        names = (*local, *remote, *left_alone)
        self._taken = {folded_name(path) for path in names}

    def run(self, equal: frozenset[str]) -> Plan:
        """Plan everything."""
        self._forget()
        self._settle_kinds()
        for path in sorted(self._here.keys() | self._there.keys()):
            here, there = self._here.get(path), self._there.get(path)
            if here is not None and there is not None:
                self._both(path, here, there, same=path in equal)
            elif here is not None:
                self._only_here(path, here)
            elif there is not None:
                self._only_there(path, there)
        self._plan_folders()
        return Plan(self._steps, self._again)

    def _do(self, do: Do, path: str, to: str = "", *, conflict: bool = False) -> None:
        self._steps.append(Step(do, path, to, conflict))

    def _forget(self) -> None:
        gone = (self._files.keys() | self._folders) - self._here.keys() - self._there.keys()
        for path in gone:
            self._do(Do.FORGET, path)
            self._files.pop(path, None)
            self._folders.discard(path)

    # --- files

    def _both(self, path: str, here: LocalStat, there: RemoteFile, *, same: bool) -> None:
        last = self._files.get(path)
        changed = _changed_here(last, here), _changed_there(last, there)
        if same:
            self._do(Do.NOTE, path)
        elif all(changed):
            self._conflict(path, here, there)
        elif any(changed):
            self._do(Do.PUT if changed[0] else Do.GET, path)

    def _conflict(self, path: str, here: LocalStat, there: RemoteFile) -> None:
        resolve = self._resolve
        if resolve is Resolve.NEWER:
            later = Resolve.LOCAL if here.mtime_ns > there.mtime_ns else Resolve.REMOTE
            resolve = Resolve.BOTH if same_time(here.mtime_ns, there.mtime_ns) else later
        if resolve is Resolve.BOTH:
            self._do(Do.PUT, self._rename(Do.RENAME_HERE, path))
        self._do(Do.PUT if resolve is Resolve.LOCAL else Do.GET, path, conflict=True)

    def _rename(self, do: Do, path: str) -> str:
        """Rename an entry to a conflict copy; return the new path."""
        number = 1
        while folded_name(to := copy_name(path, self._mark, number)) in self._taken:
            number += 1
        self._taken.add(folded_name(to))
        self._do(do, path, to, conflict=True)
        return to

    def _only_here(self, path: str, here: LocalStat) -> None:
        self._do(Do.REMOVE_HERE if self._as_last_here(path, here) else Do.PUT, path)

    def _only_there(self, path: str, there: RemoteFile) -> None:
        self._do(Do.REMOVE_THERE if self._as_last_there(path, there) else Do.GET, path)

    def _as_last_here(self, path: str, here: LocalStat | None) -> bool:
        """Return whether a local entry may be removed: it is as the last sync left it."""
        if not self._removes:
            return False
        if here is None:
            return path in self._folders
        return not _changed_here(self._files.get(path), here)

    def _as_last_there(self, path: str, there: RemoteFile | None) -> bool:
        if not self._removes:
            return False
        if there is None:
            return path in self._folders
        return not _changed_there(self._files.get(path), there)

    # --- a file on one side, a folder on the other

    def _settle_kinds(self) -> None:
        for path in sorted(self._here.keys() & self._there.keys()):
            if path not in self._here:  # it is below a settled path
                continue
            here, there = self._here[path], self._there[path]
            if here is not None and there is None:
                self._settle_file_here(path, here)
            elif here is None and there is not None:
                self._settle_file_there(path, there)

    def _settle_file_here(self, path: str, here: LocalStat) -> None:
        below = self._below(self._there, path)
        if self._as_last_here(path, here):
            self._do(Do.REMOVE_HERE, path)
        elif path in self._held or not all(self._as_last_there(*one) for one in below.items()):
            self._do(Do.PUT, self._rename(Do.RENAME_HERE, path))
            del self._here[path]
            return
        else:
            for one in sorted(below, reverse=True):
                self._do(Do.REMOVE_THERE, one)
        self._postpone(path)

    def _settle_file_there(self, path: str, there: RemoteFile) -> None:
        below = self._below(self._here, path)
        if self._as_last_there(path, there):
            self._do(Do.REMOVE_THERE, path)
        elif path in self._held or not all(self._as_last_here(*one) for one in below.items()):
            self._rename(Do.RENAME_THERE, path)
        else:
            for one in sorted(below, reverse=True):
                self._do(Do.REMOVE_HERE, one)
        self._postpone(path)

    def _postpone(self, path: str) -> None:
        """Leave an entry and everything below it to the next round."""
        self._again = True
        for side in (self._here, self._there):
            for one in self._below(side, path):
                del side[one]

    @staticmethod
    def _below(side: Mapping[str, T], folder: str) -> dict[str, T]:
        return {path: one for path, one in side.items() if is_below(path, folder)}

    # --- folders

    def _plan_folders(self) -> None:
        """Plan the folders, after what is in them: an empty one may be removed."""
        gone = {step.path for step in self._steps if step.do in (Do.REMOVE_HERE, Do.REMOVE_THERE)}
        sides = self._here, self._there
        stay = {
            parent_of(path)
            for side in sides
            for path, one in side.items()
            if one is not None and path not in gone
        }
        made: list[Step] = []
        folders = {path for side in sides for path, one in side.items() if one is None}
        for path in sorted(folders, reverse=True):  # a folder comes after what is in it
            is_here, is_there = path in self._here, path in self._there
            if is_here and is_there:
                if path not in self._folders:
                    self._do(Do.NOTE, path)
            elif path in stay or not (self._removes and path in self._folders):
                stay.add(parent_of(path))
                made.append(Step(Do.MAKE_THERE if is_here else Do.MAKE_HERE, path))
            elif path not in self._held:
                self._do(Do.REMOVE_HERE if is_here else Do.REMOVE_THERE, path)
        self._steps += reversed(made)
