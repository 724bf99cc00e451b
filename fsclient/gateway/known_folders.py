"""Cache of the entries of folders, each with the verified folder state that proves them.

A folder's state names everything in it. So one answer that shows the same state again confirms all
entries that are known of the folder, and a commit of this gateway on top of the known state leads
to the next state without a question. Entries count as known for a short time after their folder's
state was last confirmed. Any thread may use the cache.
"""

from __future__ import annotations

import heapq
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from fsclient.gateway.paths import GatewayPath
from fsproto.keys.tree import KeyedNode
from fsproto.types import Hash

T = TypeVar("T")

MOST_BYTES = 32 << 20
"""Memory of all cached entries, about."""
_LEFT = 0.75
"""The part of it that is left when older entries make room for newer ones."""
KEPT_S = 30.0
"""Seconds after its last confirmation at which a folder is removed from the cache."""


@dataclass
class FolderRecord(Generic[T]):
    """The known entries of one folder, all of one state."""

    folder: KeyedNode | None
    """The folder's node and key; None for a virtual folder."""
    state: Hash | None
    """The hash of the folder's state; None if no single state proves the entries."""
    confirmed_s: float
    names: dict[str, T | None]
    """The entries by name; None where the state proves that there is none."""
    is_complete: bool = False
    """Whether a name that is missing in `names` is missing in the folder."""
    unsure: set[str] = field(default_factory=set)
    """Names that count as unknown although the record is complete."""
    size: int = 0
    """Bytes of memory that the entries take; `KnownFolders` counts them."""

    def knows(self, name: str) -> bool:
        """Return whether the record says what is under a name."""
        return name in self.names or (self.is_complete and name not in self.unsure)


class _Branch(Generic[T]):
    """One folder of the cache, and the folders below it."""

    def __init__(self) -> None:
        self.record: FolderRecord[T] | None = None
        self.below: dict[str, _Branch[T]] = {}

    def records(self) -> Iterator[FolderRecord[T]]:
        """Give all records of this folder and below it."""
        left = [self]
        while left:
            branch = left.pop()
            if branch.record is not None:
                yield branch.record
            left.extend(branch.below.values())


class KnownFolders(Generic[T]):
    """The cache; `T` is an entry."""

    def __init__(self, memory_of: Callable[[T | None], int]) -> None:
        """`memory_of` returns how many bytes an entry takes; None is a name without one."""
        self._memory_of = memory_of
        self._lock = threading.Lock()
        self._top: _Branch[T] = _Branch()
        self._size = 0
        self._swept_s = 0.0

    def find(
        self,
        place: GatewayPath,
        folder: KeyedNode | None,
        name: str,
        *,
        since_s: float,
        absent_since_s: float,
    ) -> tuple[bool, T | None]:
        """Return whether an entry is known, and the entry; None if the folder does not have it.

        `folder` is the node that must be at `place`. An entry counts as known if it was confirmed
        at `since_s` or later, that there is none if that was at `absent_since_s` or later.
        """
        with self._lock:
            record = self._record(place)
            if record is None or record.folder != folder or not record.knows(name):
                return False, None
            found = record.names.get(name)
            enough_s = absent_since_s if found is None else since_s
            return record.confirmed_s >= enough_s, found

    def following(self, place: GatewayPath, most: int) -> list[T]:
        """Return up to `most` entries that follow a path in the order of its folder's listing.

        There are none unless the listing is known.
        """
        with self._lock:
            record = self._record(place.parent)
            if record is None or not record.is_complete:
                return []
            behind = (name for name in record.names if name > place.name)
            found = (record.names[name] for name in heapq.nsmallest(most, behind))
            return [one for one in found if one is not None]

    def note(
        self,
        place: GatewayPath,
        found: FolderRecord[T],
        since_s: float,
    ) -> None:
        """Add entries that the server has just proved.

        They join the known ones if the folder's state is the same. Without a state they do so if
        the known ones were confirmed at `since_s` or later, and age with them.
        """
        with self._lock:
            record = self._record(place)
            if record is not None and self._agree(record, found, since_s):
                if not record.is_complete or record.unsure:  # else the state proves the same again
                    self._merge(record, found.names)
                if found.is_complete:
                    record.is_complete = True
                    record.unsure.clear()
                if found.state is not None:
                    record.confirmed_s = max(record.confirmed_s, found.confirmed_s)
            else:
                self._put(place, found)
            self._sweep(found.confirmed_s)

    def change(
        self,
        place: GatewayPath,
        states: tuple[Hash | None, Hash],
        names: Mapping[str, T | None],
        now_s: float | None,
    ) -> None:
        """Apply a commit of this gateway: the folder's state before and after, and what changed.

        `now_s` is None if the commit does not count as a confirmation of the state.
        """
        before, after = states
        with self._lock:
            record = self._record(place)
            if record is None:
                return
            if record.state != before:  # another client has changed the folder in between
                self._drop_record(place)
                return
            self._merge(record, names)
            record.state = after
            if now_s is not None:
                record.confirmed_s = now_s

    def forget(self, place: GatewayPath) -> None:
        """Remove a path and everything below it from the cache."""
        if not place.parts:
            self.forget_all()
            return
        with self._lock:
            above = self._branch(place.parent)
            if above is None:
                return
            gone = above.below.pop(place.name, None)
            if gone is not None:
                self._size -= sum(one.size for one in gone.records())
            if above.record is not None:
                above.record.unsure.add(place.name)
                if place.name in above.record.names:
                    self._count(above.record, -self._memory_of(above.record.names[place.name]))
                    del above.record.names[place.name]

    def forget_all(self) -> None:
        """Clear the cache."""
        with self._lock:
            self._top, self._size = _Branch(), 0

    # --- with the lock held

    def _branch(self, place: GatewayPath) -> _Branch[T] | None:
        branch: _Branch[T] | None = self._top
        for name in place.parts:
            branch = branch.below.get(name) if branch is not None else None
        return branch

    def _record(self, place: GatewayPath) -> FolderRecord[T] | None:
        branch = self._branch(place)
        return branch.record if branch is not None else None

    def _agree(self, record: FolderRecord[T], found: FolderRecord[T], since_s: float) -> bool:
        """Return whether two records are of the same folder in the same state."""
        if (record.folder, record.state) != (found.folder, found.state):
            return False
        return found.state is not None or record.confirmed_s >= since_s

    def _put(self, place: GatewayPath, record: FolderRecord[T]) -> None:
        self._drop_record(place)
        names, record.names = record.names, {}
        branch = self._top
        for name in place.parts:
            branch = branch.below.setdefault(name, _Branch())
        branch.record = record
        self._merge(record, names)

    def _drop_record(self, place: GatewayPath) -> None:
        branch = self._branch(place)
        if branch is not None and branch.record is not None:
            self._size -= branch.record.size
            branch.record = None

    def _count(self, record: FolderRecord[T], more: int) -> None:
        record.size += more
        self._size += more

    def _merge(self, record: FolderRecord[T], names: Mapping[str, T | None]) -> None:
        before = (record.names[name] for name in names if name in record.names)
        self._count(record, -sum(map(self._memory_of, before)))
        record.names.update(names)
        record.unsure.difference_update(names)
        self._count(record, sum(map(self._memory_of, names.values())))

    def _sweep(self, now_s: float) -> None:
        """Remove old records, at most once in `KEPT_S`; and the oldest ones if too much is left."""
        if self._size <= MOST_BYTES and now_s - self._swept_s < KEPT_S:
            return
        self._swept_s, oldest_s = now_s, now_s - KEPT_S
        if self._size > MOST_BYTES:
            oldest_s = max(oldest_s, self._older_than())
        if not self._prune(self._top, oldest_s):
            self._top, self._size = _Branch(), 0

    def _older_than(self) -> float:
        """Return the time from which on records may stay; the newest one may take all memory."""
        kept = 0
        for record in sorted(self._top.records(), key=lambda one: -one.confirmed_s):
            kept += record.size
            if kept > (MOST_BYTES if kept == record.size else MOST_BYTES * _LEFT):
                return math.nextafter(record.confirmed_s, math.inf)
        return -math.inf

    def _prune(self, branch: _Branch[T], oldest_s: float) -> bool:
        """Remove records older than `oldest_s`; return whether anything is left."""
        if branch.record is not None and branch.record.confirmed_s < oldest_s:
            self._size -= branch.record.size
            branch.record = None
        below = branch.below
        for name in [name for name, one in below.items() if not self._prune(one, oldest_s)]:
            del below[name]
        return branch.record is not None or bool(below)
