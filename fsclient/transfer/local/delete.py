"""Removal of local files and folders; links are not followed, excluded entries stay."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from fsclient.local_errors import local_errors
from fsclient.transfer.local.files import FOLDER, SPECIAL, LocalEntry, children, kind_at
from fsclient.transfer.options import Excludes
from fsclient.transfer.report.actions import REMOVE, Actions
from fsclient.transfer.report.failures import Failures
from fskit.file_names import FolderNames


class LocalDeletion:
    """Removal of local entries that are neither excluded nor special files."""

    def __init__(
        self, actions: Actions, failures: Failures, excludes: Excludes, names: FolderNames
    ) -> None:
        """`names` answers for folders with excluded entries."""
        self._names = names
        self._actions = actions
        self._failures = failures
        self._excludes = excludes

    def goes_whole(self, path: Path, relative: str) -> bool:
        """Return whether a whole folder may be removed; `relative` is its path from the top."""
        return all(
            self._may_go(child, below)
            and (child.kind != FOLDER or self.goes_whole(child.path, below))
            for child, below in _inside(path, relative)
        )

    def remove(self, path: Path, relative: str) -> bool:
        """Remove the entry at a path with its contents; return whether all of it was removed."""
        kind = kind_at(path)
        if kind is None:
            return True
        return self._remove(LocalEntry(path.name, str(path), kind), relative)

    def _remove(self, child: LocalEntry, relative: str) -> bool:
        if not self._may_go(child, relative):
            if child.kind == SPECIAL:
                self._failures.skip(child.place, SPECIAL)
            return False
        if child.kind != FOLDER:
            self._actions.note(REMOVE, child.place)
            if not self._actions.dry_run:
                with local_errors(child.path):
                    child.path.unlink(missing_ok=True)
            return True
        went = [self._remove(one, below) for one, below in _inside(child.path, relative)]
        if not all(went):
            return False
        self._actions.note(REMOVE, f"{child.place}{os.sep}")
        if not self._actions.dry_run:
            with local_errors(child.path):
                child.path.rmdir()
        return True

    def _may_go(self, child: LocalEntry, relative: str) -> bool:
        folds = partial(self._names.folds_case, child.path.parent)
        excluded = self._excludes.match(relative, folder=child.kind == FOLDER, folds=folds)
        return child.kind != SPECIAL and not excluded


def _inside(path: Path, relative: str) -> list[tuple[LocalEntry, str]]:
    return [(child, f"{relative}/{child.name}") for child in children(path)]
