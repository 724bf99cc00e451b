"""The local side of transfers: reading sources, and writing targets that are whole or not there."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fsclient.errors import local_errors
from fsproto.errors import ConflictError, InvalidNameError, SourceChangedError, UsageError
from fsproto.names import clean_name, for_terminal

_WINDOWS_CHARACTERS = frozenset('<>:"/\\|?*')
_WINDOWS_NAMES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{n}" for port in ("com", "lpt") for n in "123456789¹²³"]
)
IS_WINDOWS = os.name == "nt"
FOLDS_CASE = IS_WINDOWS or sys.platform == "darwin"
"""Whether `A` and `a` usually are one file on this system."""


@dataclass(frozen=True)
class LocalFacts:
    """What a local file or folder is like."""

    size: int
    mtime_ns: int
    executable: bool


def local_name(name: str, *, windows: bool = IS_WINDOWS) -> str:
    """Return a name from a tree as one of this machine; `InvalidNameError` if it cannot be one."""
    clean_name(name)
    if windows and (
        _WINDOWS_CHARACTERS & set(name)
        or name[-1] in ". "
        or name.split(".", maxsplit=1)[0].rstrip(" ").lower() in _WINDOWS_NAMES
    ):
        raise InvalidNameError(f"Windows takes no file named '{for_terminal(name)}'.")
    return name


def same_file_key(name: str, *, folds_case: bool = FOLDS_CASE) -> str:
    """Return what two names have in common that would be one file in a local folder."""
    return name.casefold() if folds_case else name


def is_folder(path: Path) -> bool:
    """Tell whether a path leads to a folder; `FsError` if it cannot be known."""
    with local_errors(path):
        return stat.S_ISDIR(path.stat().st_mode)


@dataclass(frozen=True)
class Child:
    """One entry of a local folder."""

    name: str
    path: Path
    kind: str
    """`file`, `folder`, or what else it is in words."""


def children(folder: Path) -> list[Child]:
    """Return a folder's entries by name."""
    with local_errors(folder), os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
        return [Child(entry.name, Path(entry.path), _kind(entry)) for entry in found]


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "symbolic link"
    if entry.is_dir():
        return "folder"
    return "file" if entry.is_file() else "special file"


def sizes(path: Path) -> Iterator[int]:
    """Give the size of every regular file at or under a path, but for what cannot be read."""
    with suppress(OSError):
        if path.is_file():
            yield path.stat().st_size
    left = [str(path)]
    while left:
        with suppress(OSError), os.scandir(left.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield entry.stat(follow_symlinks=False).st_size


class Source:
    """A local file that is being read; tells if it changed under the reader's hands."""

    def __init__(self, path: Path) -> None:
        """Open it; `FsError` if that is impossible or it is no regular file."""
        self._path = path
        self._read = 0
        with local_errors(path):
            # Opening a named pipe would wait for somebody to write to it.
            regular = stat.S_ISREG(path.stat().st_mode)
            if regular:
                self._file: BinaryIO = path.open("rb", buffering=0)
        if not regular:
            raise UsageError(
                f"The local '{for_terminal(str(path))}' is not a regular file.",
                hint="Pipe it: … | fsclient put - NAME",
            )
        self._before = os.fstat(self._file.fileno())

    @property
    def facts(self) -> LocalFacts:
        """What it was like when it was opened."""
        mode = self._before.st_mode
        executable = not IS_WINDOWS and bool(mode & stat.S_IXUSR)
        return LocalFacts(self._before.st_size, self._before.st_mtime_ns, executable)

    def read_into(self, room: memoryview) -> int:
        """Fill `room` with what comes next, not to its end only where the file ends."""
        with local_errors(self._path):
            count = fill(room, self._file)
        self._read += count
        if self._read > self._before.st_size:  # it grows, and its end may never be reached
            raise self._changed()
        return count

    def check_unchanged(self, size: int) -> None:
        """Raise `SourceChangedError` unless what was read is the file as it is."""
        now, before = os.fstat(self._file.fileno()), self._before
        if (size, now.st_size, now.st_mtime_ns) != (
            before.st_size,
            before.st_size,
            before.st_mtime_ns,
        ):
            raise self._changed()

    def _changed(self) -> SourceChangedError:
        return SourceChangedError(
            f"The local '{for_terminal(str(self._path))}' changed while it was read; "
            "it was not put.",
            hint="Put it again when nothing writes to it.",
        )

    def close(self) -> None:
        """Close it."""
        self._file.close()


def fill(room: memoryview, file: BinaryIO) -> int:
    """Fill `room` from a file or pipe; return how much came, less than its size at the end only."""
    have = 0
    while have < len(room) and (count := file.readinto(room[have:])):  # type: ignore[attr-defined]
        have += count
    return have


@contextmanager
def written_whole(path: Path, facts: LocalFacts) -> Iterator[BinaryIO]:
    """Give a file to write; it gets its name, times and mode only if the block ends well.

    A link is followed, and what it leads to is replaced; only a regular file ever is.
    """
    final, mode = _replaced(path)
    temporary = final.parent / f".fs-{os.urandom(8).hex()}"
    with local_errors(final.parent):
        file = open(temporary, "xb", buffering=0, opener=_private)  # noqa: SIM115
    try:
        with file:
            yield file
        with local_errors(path):
            if not IS_WINDOWS:
                temporary.chmod(_mode(mode, executable=facts.executable))
            os.utime(temporary, ns=(facts.mtime_ns, facts.mtime_ns))
            temporary.replace(final)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _replaced(path: Path) -> tuple[Path, int | None]:
    """Return where a file really goes, and the mode of the one that is there, if there is one."""
    with local_errors(path):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            return path, None
        if stat.S_ISREG(mode):
            return (path.resolve() if path.is_symlink() else path), mode
    raise ConflictError(
        f"The local '{for_terminal(str(path))}' is not a regular file and is not replaced.",
        hint="To write into it: fsclient cat NAME > FILE",
    )


def _mode(before: int | None, *, executable: bool) -> int:
    """Return a file's new mode: what it had, else what the umask allows, and whether it runs."""
    if before is None:
        umask = os.umask(0o077)
        os.umask(umask)
        before = 0o666 & ~umask
    readable = before & 0o666
    return readable | ((readable & 0o444) >> 2 if executable else 0)


def make_folder(path: Path) -> bool:
    """Make a local folder unless it is there; tell whether it was made."""
    with local_errors(path):
        if path.is_dir():
            return False
        path.mkdir()
        return True
