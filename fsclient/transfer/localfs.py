"""The local side of transfers: reading sources, and writing targets that are whole or not there."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fsclient.errors import local_errors
from fsproto.errors import InvalidNameError, SourceChangedError, UsageError
from fsproto.names import clean_name, for_terminal

_WINDOWS_CHARACTERS = frozenset('<>:"/\\|?*')
_WINDOWS_NAMES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))]
)


@dataclass(frozen=True)
class LocalFacts:
    """What a local file or folder is like."""

    size: int
    mtime_ns: int
    executable: bool


def local_name(name: str) -> str:
    """Return a name from a tree as one of this machine; `InvalidNameError` if it cannot be one."""
    clean_name(name)
    if os.name == "nt" and (
        _WINDOWS_CHARACTERS & set(name)
        or name[-1] in ". "
        or name.split(".", maxsplit=1)[0].lower() in _WINDOWS_NAMES
    ):
        raise InvalidNameError(f"Windows takes no file named '{for_terminal(name)}'.")
    return name


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


class Source:
    """A local file that is being read; tells if it changed under the reader's hands."""

    def __init__(self, path: Path) -> None:
        """Open it; `FsError` if that is impossible or it is no regular file."""
        self._path = path
        with local_errors(path):
            self._file: BinaryIO = path.open("rb", buffering=0)
        self._before = os.fstat(self._file.fileno())
        if not stat.S_ISREG(self._before.st_mode):
            self._file.close()
            raise UsageError(
                f"'{for_terminal(str(path))}' is not a regular file.",
                hint="Pipe it: … | fsclient put - NAME",
            )

    @property
    def facts(self) -> LocalFacts:
        """What it was like when it was opened."""
        mode = self._before.st_mode
        executable = os.name != "nt" and bool(mode & stat.S_IXUSR)
        return LocalFacts(self._before.st_size, self._before.st_mtime_ns, executable)

    def read_into(self, room: memoryview) -> int:
        """Fill `room` with what comes next, not to its end only where the file ends."""
        with local_errors(self._path):
            return fill(room, self._file)

    def check_unchanged(self, size: int) -> None:
        """Raise `SourceChangedError` unless what was read is the file as it is."""
        now, before = os.fstat(self._file.fileno()), self._before
        if (size, now.st_size, now.st_mtime_ns) != (
            before.st_size,
            before.st_size,
            before.st_mtime_ns,
        ):
            raise SourceChangedError(
                f"'{for_terminal(str(self._path))}' changed while it was read; it was not put.",
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
    """Give a file to write; it gets its name, times and mode only if the block ends well."""
    with local_errors(path):
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=".fs-")
    temporary = Path(name)
    try:
        with os.fdopen(fd, "wb", buffering=0) as file:
            yield file
            with local_errors(path):
                file.flush()
        with local_errors(path):
            if os.name != "nt":
                mode = 0o777 if facts.executable else 0o666
                temporary.chmod(mode & ~_umask())
            os.utime(temporary, ns=(facts.mtime_ns, facts.mtime_ns))
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def make_folder(path: Path) -> None:
    """Make a local folder unless it is there."""
    with local_errors(path):
        path.mkdir(exist_ok=True)
