"""Removal of local files and folders; links are not followed, what filters leave out stays."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fsclient.local_errors import local_errors
from fsclient.transfer.filters import Filters
from fsclient.transfer.local.files import FOLDER, SPECIAL, LocalEntry, children, kind_at
from fsclient.transfer.local.symlinks import local_facts
from fsclient.transfer.report.actions import REMOVE, Actions
from fsclient.transfer.report.failures import Failures
from fskit.file_names import FolderNames


@dataclass
class _OpenFolder:
    """A folder whose contents are being removed."""

    entry: LocalEntry
    inside: list[tuple[LocalEntry, str]]
    """The remaining entries to remove, in the reverse order of names."""
    goes: bool = True
    """Whether everything so far was removed."""


class LocalDeletion:
    """Removal of local entries that are no special files, and that no filter leaves out."""

    def __init__(
        self,
        actions: Actions,
        failures: Failures,
        filters: Filters,
        names: FolderNames,
        keep: Callable[[str, Path], None] = lambda _relative, _path: None,
    ) -> None:
        """`names` answers for folders with entries that are left out.

        `keep` is called before a file or link is removed, and may move it away.
        """
        self._keep = keep
        self._names = names
        self._actions = actions
        self._failures = failures
        self._filters = filters

    def goes_whole(self, path: Path, relative: str) -> bool:
        """Return whether a whole folder may be removed; `relative` is its path from the top."""
        left = [(path, relative)]
        while left:
            for child, below in _inside(*left.pop()):
                if not self._may_go(child, below):
                    return False
                if child.kind == FOLDER:
                    left.append((child.path, below))
        return True

    def remove(self, path: Path, relative: str) -> bool:
        """Remove the entry at a path with its contents; return whether all of it was removed."""
        kind = kind_at(path)
        if kind is None:
            return True
        top = LocalEntry(path.name, str(path), kind)
        if kind != FOLDER or not self._may_go(top, relative):
            return self._remove_single(top, relative)
        # A stack instead of recursion: local folders may be nested by the thousand.
        stack = [_OpenFolder(top, _inside(path, relative))]
        while True:
            here = stack[-1]
            if here.inside:
                child, below = here.inside.pop()
                if child.kind == FOLDER and self._may_go(child, below):
                    stack.append(_OpenFolder(child, _inside(child.path, below)))
                else:
                    here.goes &= self._remove_single(child, below)
                continue
            stack.pop()
            if here.goes:
                self._remove_empty(here.entry)
            if not stack:
                return here.goes
            stack[-1].goes &= here.goes

    def _remove_single(self, child: LocalEntry, relative: str) -> bool:
        """Remove a file or link; return False for an entry that stays."""
        if not self._may_go(child, relative):
            if child.kind == SPECIAL:
                self._failures.skip(child.place, SPECIAL)
            return False
        self._actions.note(REMOVE, child.place)
        if not self._actions.dry_run:
            with local_errors(child.path):
                self._keep(relative, child.path)
                child.path.unlink(missing_ok=True)
        return True

    def _remove_empty(self, folder: LocalEntry) -> None:
        self._actions.note(REMOVE, f"{folder.place}{os.sep}")
        if not self._actions.dry_run:
            with local_errors(folder.path):
                folder.path.rmdir()

    def _may_go(self, child: LocalEntry, relative: str) -> bool:
        folds = partial(self._names.folds_case, child.path.parent)
        facts = None if child.kind == FOLDER else partial(local_facts, child.path)
        return child.kind != SPECIAL and not self._filters.leave_out(relative, facts, folds)


def _inside(path: Path, relative: str) -> list[tuple[LocalEntry, str]]:
    return [(child, f"{relative}/{child.name}") for child in reversed(children(path))]
