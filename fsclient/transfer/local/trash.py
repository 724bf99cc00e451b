"""The trash folder of a profile: local files that a sync replaces or removes, and no server has.

Each command that needs it creates one folder in it, named after the time. Each sync deletes the
folders that are older than `KEPT_S`; the user can do so earlier. On the disk of the profile, a move
is a rename; from another disk, it is a copy.
"""

from __future__ import annotations

import calendar
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

from fsclient.local_errors import local_errors
from fskit.files import everything_below, make_folders
from fsproto.values import Value

KEPT_S = 30 * 86_400
"""Seconds for which a file is kept."""
_FORM = "%Y-%m-%dT%H%M%SZ"
_NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d{6}Z)(?:-\d+)?")


class TrashedFile(Value, frozen=True):
    """A file or link in the trash folder."""

    path: Path
    relative: str
    """Its former path, from the top folder of the sync."""
    size: int
    moved_s: float
    """When the command that moved it here started to use the trash."""


class Trash:
    """The part of the trash folder that belongs to one command."""

    def __init__(self, folder: Path) -> None:
        """Use the trash folder `folder`; nothing is created yet."""
        self._all = folder
        self.folder: Path | None = None
        """The folder of this command; None while nothing was moved."""
        self.kept = 0

    def keep(self, path: Path, relative: str) -> None:
        """Move the file or link at `path` here; `relative` is its path from the top folder."""
        with local_errors(path):
            folder = self.folder = self.folder or self._made()
            target = folder.joinpath(*relative.split("/"))
            make_folders(target.parent)
            shutil.move(path, target)
        self.kept += 1

    def _made(self) -> Path:
        self._all.mkdir(mode=0o700, exist_ok=True)
        named = time.strftime(_FORM, time.gmtime())
        for number in count(1):
            folder = self._all / (named if number == 1 else f"{named}-{number}")
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                continue
            return folder
        raise AssertionError

    def shown(self) -> str:
        """Return the folder of this command as text."""
        return f"{self.folder}{os.sep}"


def trashed(folder: Path, before_s: float | None = None) -> list[TrashedFile]:
    """Return the files in a trash folder, the oldest first; only those from before `before_s`.

    Ignores what no sync has put there. Links are not followed.
    """
    found = []
    for made, moved_s in _made_folders(folder):
        if before_s is not None and moved_s >= before_s:
            continue
        with local_errors(made):
            for entry in everything_below(made):
                if not entry.is_dir(follow_symlinks=False):
                    path = Path(entry.path)
                    relative = path.relative_to(made).as_posix()
                    size = entry.stat(follow_symlinks=False).st_size
                    found.append(TrashedFile(path, relative, size, moved_s))
    return sorted(found, key=lambda one: (one.moved_s, one.path))


def delete(files: Iterable[TrashedFile], folder: Path) -> int:
    """Delete files of a trash folder, and the folders that are empty then; return how many.

    A file that was added since they were listed stays.
    """
    deleted, parents = 0, dict[Path, None]()
    for one in files:
        with local_errors(one.path):
            one.path.unlink(missing_ok=True)
        deleted += 1
        parents[one.path.parent] = None
    for parent in sorted(parents, key=lambda path: -len(path.parts)):
        _remove_empty(parent, folder)
    return deleted


def _remove_empty(path: Path, top: Path) -> None:
    """Remove a folder and those above it, below `top`, while they are empty."""
    while path != top:
        try:
            path.rmdir()
        except OSError:  # not empty, or removed with another one
            if path.exists():
                return
        path = path.parent


def _made_folders(folder: Path) -> Iterator[tuple[Path, float]]:
    """Yield the folders that commands made in a trash folder, and when, in seconds."""
    with local_errors(folder):
        inside = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in inside:
        if (named := _NAME.fullmatch(path.name)) and path.is_dir() and not path.is_symlink():
            try:
                yield path, float(calendar.timegm(time.strptime(named[1], _FORM)))
            except ValueError:  # a month 13
                continue
