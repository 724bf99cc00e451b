"""Names in local folders: whether a folder folds case, and which entry a remote name means there.

A folder is asked, not the operating system: Linux mounts exFAT and has folders of ext4 that fold
case, macOS and Windows have volumes that do not.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from fsclient.local_errors import local_errors
from fsclient.transfer.local.files import IS_WINDOWS, local_name, passing_name
from fskit.file_names import FolderNames, folded_name, same_name
from fsproto.errors import ExistsError
from fsproto.names import RemotePath, canonical_name, for_terminal

T = TypeVar("T")
_USUALLY_FOLDS = IS_WINDOWS or sys.platform == "darwin"
"""The answer for a folder that shows nothing and cannot be written."""


class DiskNames:
    """The names of folders on disk; each folder is asked once."""

    def __init__(self, *, may_write: bool) -> None:
        """With `may_write`, an empty folder is asked by creating a file in it for a moment."""
        self._may_write = may_write
        self._known: dict[str, bool] = {}

    def folds_case(self, folder: Path) -> bool:
        """Return whether `A` and `a` are one file in a folder, or would be if it existed."""
        key = os.path.abspath(folder)  # noqa: PTH100 - links on the way are not resolved
        if key not in self._known:
            self._known[key] = self._ask(Path(key))
        return self._known[key]

    def _ask(self, folder: Path) -> bool:
        answer = _seen_in(folder)
        if answer is None and self._may_write:
            answer = _tried_in(folder)
        if answer is not None:
            return answer
        # A new folder takes names as the folder in which it is created.
        if folder.parent != folder and _on_one_device(folder):
            return self.folds_case(folder.parent)
        return _USUALLY_FOLDS


def _seen_in(folder: Path) -> bool | None:
    """Return the answer that the entries of a folder give; None if they give none."""
    with suppress(OSError):
        names = set(os.listdir(folder))  # noqa: PTH208 - names, not paths
        # Some file systems fold only ASCII.
        for name in filter(str.isascii, names):
            other = name.swapcase()
            if other != name and other not in names:
                return _is_there(folder / other)
    return None


def _tried_in(folder: Path) -> bool | None:
    """Return the answer for a temporary file; None if none can be created."""
    probe = folder / passing_name()
    try:
        with probe.open("xb"):
            return _is_there(probe.with_name(probe.name.upper()))
    except OSError:
        return None
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (OSError, ValueError):  # ValueError: not in the encoding of this locale
        return False
    return True


def _on_one_device(folder: Path) -> bool:
    """Return whether a folder is on the device of its parent, or does not exist."""
    try:
        return folder.stat().st_dev == folder.parent.stat().st_dev
    except OSError:
        return not folder.exists()


class LocalFolder:
    """One local folder that receives remote names; each name is given to one remote node."""

    def __init__(self, path: Path, names: FolderNames, entries: Iterable[str] = ()) -> None:
        """`entries` are the names in the folder; it may not exist yet."""
        self.path = path
        self._names = names
        self._entries = _by_key(entries)
        self._given: dict[str, list[str]] = defaultdict(list)

    def has(self, name: str) -> bool:
        """Return whether an entry has this very name in NFC."""
        return any(same_name(name, one) for one in self._entries.get(folded_name(name), ()))

    def is_one(self, one: str, other: str) -> bool:
        """Return whether two names are one file in this folder."""
        if same_name(one, other):
            return True
        return folded_name(one) == folded_name(other) and self._names.folds_case(self.path)

    def give(self, remote: RemotePath) -> str:
        """Return the local name for a remote node: that of the entry that it means, if any.

        Raises `InvalidNameError` if there can be no such local name, and `ExistsError` if another
        remote name or two local files are the same file.
        """
        name = local_name(remote.name, shown=str(remote))
        key = folded_name(name)
        for other in self._given[key]:
            if self.is_one(name, other):
                raise ExistsError(
                    f"'{remote}' was not got: in the local '{for_terminal(str(self.path))}', it "
                    f"would replace what was got as '{for_terminal(other)}'.",
                    hint="Get it under another name: fsclient get REMOTE LOCAL.",
                )
        found = [entry for entry in self._entries.get(key, ()) if self.is_one(name, entry)]
        if name not in found and len(found) > 1:
            raise self.same_names(found)
        self._given[key].append(name)
        return name if name in found or not found else found[0]

    def in_order(self, nodes: list[T], key: Callable[[T], str]) -> list[T]:
        """Return nodes in the order in which to give their names: exact entries first.

        Then no name takes the entry that another one has exactly.
        """
        if not self._entries:
            return nodes
        exact = {entry for entries in self._entries.values() for entry in entries}
        return sorted(nodes, key=lambda node: key(node) not in exact)

    def surplus(self, names: Iterable[str]) -> Iterator[str]:
        """Yield the entries that none of the names means."""
        wanted = _by_key(names)
        for key, entries in self._entries.items():
            for entry in entries:
                if not any(self.is_one(entry, name) for name in wanted.get(key, ())):
                    yield entry

    def doubled(self) -> Iterator[list[str]]:
        """Yield the entries that have the same name, as lists of two or more."""
        by_name: dict[str, list[str]] = defaultdict(list)
        for entries in self._entries.values():
            for entry in entries:
                by_name[canonical_name(entry)].append(entry)
        yield from (some for some in by_name.values() if len(some) > 1)

    def same_names(self, found: list[str]) -> ExistsError:
        """Return the error for entries that have the same name."""
        return same_names_error([str(self.path / one) for one in found])


def local_folder(path: Path, names: FolderNames, *, must_list: bool = False) -> LocalFolder:
    """Return a local folder with its entries; a missing folder has none.

    A folder that may be written but not read has none either, unless `must_list` is set.
    """
    entries: list[str] = []
    with local_errors(path):
        try:
            entries = os.listdir(path)  # noqa: PTH208 - names, not paths
        except (FileNotFoundError, NotADirectoryError):
            pass  # to create it or to fail is up to the caller
        except PermissionError:
            if must_list:
                raise
    return LocalFolder(path, names, entries)


def not_both_here(remote: RemotePath, rival: str, folder: Path) -> ExistsError:
    """Return the error for a remote node that stays because it has no place in the local folder."""
    return ExistsError(
        f"'{remote}' was not removed: the local '{for_terminal(str(folder))}' takes its name and "
        f"'{for_terminal(rival)}' for one, so it cannot have both.",
        hint="Rename or remove one of them: fsclient mv, fsclient rm.",
    )


def same_names_error(places: Sequence[str]) -> ExistsError:
    """Return the error for local files whose names differ only in how accents are written."""
    named = " and ".join(f"'{for_terminal(place)}'" for place in places)
    return ExistsError(
        f"The local {named} have the same name but for how accents are written; "
        "none of them was transferred.",
        hint="Rename or remove one of them.",
    )


def _by_key(names: Iterable[str]) -> dict[str, list[str]]:
    by_key: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_key[folded_name(name)].append(name)
    return dict(by_key)
