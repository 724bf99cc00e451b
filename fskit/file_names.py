"""Comparison of file names: names of one file, and the spelling of a name that a client used.

The tree stores each name in NFC, and only names in NFC are compared (`canonical_name`). Two names
with the same NFC are one name everywhere. Names that differ in case are one name only where the
folder on disk takes them for one: `FolderNames` is how code asks a folder.
"""

from __future__ import annotations

import threading
import unicodedata
from itertools import count
from pathlib import Path
from typing import Protocol

from fsproto.names import canonical_name

_IGNORABLE = frozenset("\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u3164\ufeff\uffa0").union(
    *(
        map(chr, range(first, last + 1))
        for first, last in ((0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F))
    ),
    map(chr, range(0xFE00, 0xFE10)),
)
"""Code points that some file systems ignore in a name (Unicode: Default_Ignorable_Code_Point)."""
MOST_SPELLINGS = 20_000
"""Places whose spellings are remembered for one connection; the oldest is forgotten first."""
_MOMENTS = count(1)
Parts = tuple[str, ...]
"""Names from the top down."""


class FolderNames(Protocol):
    """The way in which folders on disk take names."""

    def folds_case(self, folder: Path) -> bool:
        """Return whether `A` and `a` are one file in a folder, or would be if it existed."""


def same_name(one: str, other: str) -> bool:
    """Return whether two names are one name in every folder: their NFC is the same."""
    return canonical_name(one) == canonical_name(other)


def folded_name(name: str) -> str:
    """Return a key that is equal for all names that a folder that folds case takes for one.

    It is the canonical caseless match of Unicode (section 3.13, D145) without ignorable code
    points. A file system may fold fewer names.
    """
    if name.isascii():
        return name.lower()
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
    return "".join(c for c in unicodedata.normalize("NFC", folded) if c not in _IGNORABLE)


class Spellings:
    """The spellings of names that a client of an SFTP server uses, by their place in NFC.

    A client that writes a name in another form than NFC looks for that form in the next listing. If
    the form is missing there, a client that synchronises takes the listed form for a surplus file
    and removes it. So a listing shows the client's newest spelling: the one that it wrote last, or
    used for the first time after that. Only under this spelling can the client remove or rename the
    file, so a name from an older listing removes no newer file. Any spelling finds the file.
    """

    def __init__(self, written: Spellings | None = None) -> None:
        """`written` has the spellings that all connections of the same client have written."""
        self._written = written
        self._places = _Places()
        self._lock = threading.Lock()

    def use(self, spelled: Parts, *, written: bool = False) -> None:
        """Record that the client found something under a path, or wrote it."""
        for end, name in enumerate(spelled, 1):
            if _has_other_spellings(name):
                place = tuple(map(canonical_name, spelled[:end]))
                self._record(place, name, written=written and end == len(spelled))

    def show(self, place: Parts) -> str:
        """Return the name to show for a place; the client has seen it from now on."""
        name = place[-1]
        if _has_other_spellings(name):
            name = self._newest(place) or name
            self._record(place, name, written=False)
        return name

    def knows(self, spelled: Parts) -> bool:
        """Return whether each name of a path is the one by which the client knows the place."""
        places = ((name, spelled[:end]) for end, name in enumerate(spelled, 1))
        return all(
            self._newest(tuple(map(canonical_name, place))) in (None, name)
            for name, place in places
            if _has_other_spellings(name)
        )

    def move(self, old: Parts, new: Parts) -> None:
        """Record that a place and everything below it has moved."""
        if old != new:
            self._take(new, None)
        self._take(old, new)
        if self._written is not None:
            self._written.move(old, new)

    def forget(self, place: Parts) -> None:
        """Forget a place that was removed, and everything below it."""
        self._take(place, None)
        if self._written is not None:
            self._written.forget(place)

    def _newest(self, place: Parts) -> str | None:
        used = dict(self._at(place))
        if self._written is not None:
            for name, moment in self._written._at(place).items():  # noqa: SLF001 - one of its kind
                used[name] = max(moment, used.get(name, 0))
        return max(used, key=used.__getitem__, default=None)

    def _at(self, place: Parts) -> dict[str, int]:
        with self._lock:
            return dict(self._places.used.get(place, {}))

    def _record(self, place: Parts, name: str, *, written: bool) -> None:
        with self._lock:
            used = self._places.add(place)
            if written or name not in used:
                used[name] = next(_MOMENTS)
            self._places.forget_oldest()
        if written and self._written is not None:
            self._written._record(place, name, written=True)  # noqa: SLF001 - one of its kind

    def _take(self, old: Parts, new: Parts | None) -> None:
        with self._lock:
            for below, used in self._places.take(old):
                if new is not None and below:
                    self._places.add((*new, *below)).update(used)


class _Places:
    """The spellings of each place, and which places lie below another.

    Without the second, each rename and removal would have to look at all places.
    """

    def __init__(self) -> None:
        self.used: dict[Parts, dict[str, int]] = {}
        """The spellings of each place, with the moment of the first use or of the last write."""
        self._below: dict[Parts, set[str]] = {}
        """The next names below each path that leads to a place."""

    def add(self, place: Parts) -> dict[str, int]:
        """Return the spellings of a place, which may be new."""
        used = self.used.get(place)
        if used is None:
            used = self.used[place] = {}
            for end, name in enumerate(place):
                self._below.setdefault(place[:end], set()).add(name)
        return used

    def take(self, place: Parts) -> list[tuple[Parts, dict[str, int]]]:
        """Remove a place and all below it; return their spellings, each with its path from there.

        A move adds them again, so the place itself is first.
        """
        found: list[tuple[Parts, dict[str, int]]] = []
        left = [place]
        while left:
            path = left.pop()
            left.extend((*path, name) for name in self._below.pop(path, ()))
            if path in self.used:
                found.append((path[len(place) :], self.used.pop(path)))
        self._cut(place)
        return found

    def forget_oldest(self) -> None:
        """Forget the place that was added first, if there are too many."""
        if len(self.used) > MOST_SPELLINGS:
            oldest = next(iter(self.used))
            del self.used[oldest]
            self._cut(oldest)

    def _cut(self, path: Parts) -> None:
        """Remove the paths that lead nowhere else, from the end of a path up."""
        while path and path not in self.used and path not in self._below:
            path, name = path[:-1], path[-1]
            names = self._below.get(path)
            if names is None:
                return
            names.discard(name)
            if names:
                return
            del self._below[path]


def _has_other_spellings(name: str) -> bool:
    """Return whether a name has more than one form with the same NFC."""
    return not name.isascii() and (
        not unicodedata.is_normalized("NFC", name) or not unicodedata.is_normalized("NFD", name)
    )
