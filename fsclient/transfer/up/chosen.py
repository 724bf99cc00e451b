"""Which local folders have files that the filters of an upload choose."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from fsclient.transfer.filters import Filters
from fsclient.transfer.local.files import FOLDER, children
from fsclient.transfer.local.symlinks import local_facts
from fsclient.transfer.relative import below
from fskit.file_names import FolderNames
from fsproto.errors import FsError


class ChosenFolders:
    """Looks ahead into folders, so that none is created in vain; remembers what it has seen."""

    def __init__(self, filters: Filters, names: FolderNames) -> None:
        """`names` answers for the local folders."""
        self._filters = filters
        self._names = names
        self._known: dict[str, bool] = {}

    def has_files(self, path: Path, relative: str) -> bool:
        """Return whether a folder has a chosen file, in it or below; True without such filters.

        `relative` is its path from the top folder. A folder that cannot be read counts as one that
        has: the upload reports it.
        """
        if not self._filters.choose_files:
            return True
        if relative not in self._known:
            self._look_below(path, relative)
        return self._known[relative]

    def _look_below(self, top: Path, relative: str) -> None:
        """Look into a folder and all folders below it; record for each whether it has a file."""
        found, left = [(top, relative)], [(top, relative)]
        while left:
            path, place = left.pop()
            self._known[place], folders = self._look_into(path, place)
            left += folders
            found += folders
        for _, place in reversed(found[1:]):
            above = place.rpartition("/")[0]
            self._known[above] |= self._known[place]

    def _look_into(self, path: Path, place: str) -> tuple[bool, list[tuple[Path, str]]]:
        """Return whether a folder itself has a chosen file, and the folders to look into."""
        has, folders = False, []
        try:
            inside = children(path)
        except FsError:
            return True, []
        folds = partial(self._names.folds_case, path)
        for child in inside:
            relative = below(place, child.name)
            facts = None if child.kind == FOLDER else partial(local_facts, child.place)
            if self._filters.leave_out(relative, facts, folds):
                continue
            if child.kind == FOLDER:
                folders.append((child.path, relative))
            else:
                has = True
        return has, folders
