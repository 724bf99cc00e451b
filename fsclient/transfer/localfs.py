"""The local side of transfers: reading sources, and writing targets that are whole or not there."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import BinaryIO

from fsclient.errors import local_errors
from fsclient.transfer.excludes import Excludes
from fsproto.errors import ConflictError, InvalidNameError, SourceChangedError, UsageError
from fsproto.names import clean_name, for_terminal
from fsproto.sealed.manifest import Mode
from fsproto.values import Value

_WINDOWS_CHARACTERS = frozenset('<>:"/\\|?*')
_WINDOWS_NAMES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{n}" for port in ("com", "lpt") for n in "123456789¹²³"]
)
_AT_ONCE = 64 * 1024
"""Bytes; fewer are copied in less time than it takes to have them read where they go."""
_HOLE_WORTH_TELLING = 64 * 1024
"""Bytes; file systems keep the ends of files and short ones in ways of their own."""
IS_WINDOWS = os.name == "nt"
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_READ |= getattr(os, "O_NONBLOCK", 0)  # a named pipe would wait for somebody to write to it
FILE, FOLDER, LINK, SPECIAL = "file", "folder", "link", "special file"
"""What something in a local folder is."""
TAKES_NUMBERS = {os.chmod, os.utime} <= os.supports_fd
"""Whether time and mode can be set on an open file, without looking its path up again."""
FOLDS_CASE = IS_WINDOWS or sys.platform == "darwin"
"""Whether `A` and `a` usually are one file on this system."""


class LocalFacts(Value, frozen=True):
    """What a local file or folder is like."""

    size: int
    mtime_ns: int
    mode: Mode


def facts_of(found: os.stat_result) -> LocalFacts:
    """Return what a file or link is like, by what the system says of it."""
    if stat.S_ISLNK(found.st_mode):
        mode = Mode.SYMLINK
    elif found.st_mode & stat.S_IXUSR and not IS_WINDOWS:
        mode = Mode.EXECUTABLE
    else:
        mode = Mode.REGULAR
    return LocalFacts(found.st_size, found.st_mtime_ns, mode)


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


_PASSING_NUMBERS = count(int.from_bytes(os.urandom(7)))
_PASSING = re.compile(r"\.(fs-[0-9a-f]{16}|.*\.[0-9a-f]{16}\.fs-part)", re.DOTALL)


def is_passing(name: str) -> bool:
    """Tell the name of what a `get` has not finished yet, and may have left behind."""
    return name.startswith(".") and _PASSING.fullmatch(name) is not None


def passing_name() -> str:
    """Return a name for what is on its way, which nothing else has."""
    return f".fs-{next(_PASSING_NUMBERS):016x}"


class Child(Value, frozen=True):
    """One entry of a local folder."""

    name: str
    path: Path
    kind: str
    """`FILE`, `FOLDER`, `LINK` or `SPECIAL`."""


def children(folder: Path) -> list[Child]:
    """Return a folder's entries by name."""
    with local_errors(folder), os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
        return [Child(entry.name, Path(entry.path), _kind(entry)) for entry in found]


def kind_at(path: Path, *, follow: bool = False) -> str | None:
    """Return what a path leads to, `FILE`, `FOLDER`, `LINK` or `SPECIAL`; None for nothing."""
    with local_errors(path):
        try:
            mode = (path.stat() if follow else path.lstat()).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
    if stat.S_ISLNK(mode):
        return LINK
    if stat.S_ISDIR(mode):
        return FOLDER
    return FILE if stat.S_ISREG(mode) else SPECIAL


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return LINK
    if entry.is_dir():
        return FOLDER
    return FILE if entry.is_file() else SPECIAL


def sizes(path: Path, excludes: Excludes) -> Iterator[int]:
    """Give the size of every regular file at or under a path, but for what cannot be read."""
    with suppress(OSError):
        if path.is_file():
            yield path.stat().st_size
    left = [(str(path), "")]
    while left:
        folder, relative = left.pop()
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                if excludes and excludes.match(relative + entry.name, folder=is_folder):
                    continue
                if is_folder:
                    left.append((entry.path, f"{relative}{entry.name}/"))
                elif entry.is_file(follow_symlinks=False):
                    yield entry.stat(follow_symlinks=False).st_size


class Source:
    """A local file that is being read; tells if it changed under the reader's hands."""

    def __init__(self, path: Path, *, follow: bool = True) -> None:
        """Open it, a link only if links are followed; `FsError` if it is no regular file."""
        self._path = path
        self._read = 0
        self._number = -1
        with local_errors(path):
            # What a person named may be a device, which does things when it is opened.
            regular = not follow or stat.S_ISREG(path.stat().st_mode)
            if regular:
                self._number = os.open(path, _READ if follow else _READ | _NO_FOLLOW)
                self._before = os.fstat(self._number)
                regular = stat.S_ISREG(self._before.st_mode)
        if not regular:
            self.close()
            raise UsageError(
                f"The local '{for_terminal(str(path))}' is not a regular file.",
                hint="Pipe it: … | fsclient put - NAME",
            )
        self.facts = facts_of(self._before)
        """What it was like when it was opened."""

    @property
    def is_sparse(self) -> bool:
        """Tell whether the file has holes, which no disk space stands behind."""
        size = self._before.st_size
        on_disk = getattr(self._before, "st_blocks", None)  # in units of 512 bytes
        seek_hole = getattr(os, "SEEK_HOLE", None)
        if on_disk is None or seek_hole is None or size - on_disk * 512 < _HOLE_WORTH_TELLING:
            return False
        # A file system that compresses takes less room, too; it knows where there are holes.
        try:
            return os.lseek(self._number, 0, seek_hole) < size
        except OSError:
            return False
        finally:
            os.lseek(self._number, 0, os.SEEK_SET)

    @property
    def stat(self) -> os.stat_result:
        """All that the system said of it when it was opened."""
        return self._before

    @property
    def path(self) -> Path:
        """Where it lies, as it was named."""
        return self._path

    def go_to(self, at: int) -> None:
        """Go on reading at byte `at`."""
        with local_errors(self._path):
            os.lseek(self._number, at, os.SEEK_SET)
        self._read = at

    def read_into(self, room: memoryview) -> int:
        """Fill `room` with what comes next, not to its end only where the file ends."""
        have = 0
        with local_errors(self._path):
            while have < len(room) and (count := _read_into(self._number, room[have:])):
                have += count
                # Where it ended when it was opened, it will not go on; if it does, that is noticed.
                if have < len(room) and self._read + have == self._before.st_size:
                    break
        self._read += have
        if self._read > self._before.st_size:  # it grows, and its end may never be reached
            raise self._changed()
        return have

    def check_unchanged(self, size: int) -> None:
        """Raise `SourceChangedError` unless what was read is the file as it is."""
        now, before = os.fstat(self._number), self._before
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
        number, self._number = self._number, -1  # which may soon be that of another file
        if number >= 0:
            os.close(number)


def _read_into(number: int, room: memoryview) -> int:
    """Read once from an open file; a file object would take longer to make than a small one."""
    if len(room) > _AT_ONCE and hasattr(os, "readv"):
        return os.readv(number, [room])
    data = os.read(number, len(room))
    room[: len(data)] = data
    return len(data)


def fill(room: memoryview, file: BinaryIO) -> int:
    """Fill `room` from a file or pipe; return how much came, less than its size at the end only."""
    have = 0
    while have < len(room) and (count := file.readinto(room[have:])):  # type: ignore[attr-defined]
        have += count
    return have


class Target:
    """Where a local file goes: what it replaces, and what it will be like.

    A link is followed, and what it leads to is replaced; or the link itself if `follow` is not
    set. Only a regular file or such a link ever is.
    """

    def __init__(self, path: Path, *, follow: bool = True) -> None:
        """Look at what is there; `ConflictError` for what is never replaced."""
        self._path = path
        self.final, self._mode = _replaced(path, follow=follow)
        self.passing_name = passing_name()
        """What it is called beside its place until it is whole."""

    @property
    def temporary(self) -> Path:
        """Where it lies until it is whole."""
        return self.final.parent / self.passing_name

    def begin(self) -> BinaryIO:
        """Open a new file beside it, which only we can read."""
        return open(self.temporary, "xb", buffering=0, opener=_private)

    def dress(self, written: Path | int, facts: LocalFacts) -> None:
        """Give what was written, a path or an open file's number, its time and mode."""
        if not IS_WINDOWS:
            mode = permissions(self._mode, executable=facts.mode is Mode.EXECUTABLE)
            os.chmod(written, mode)  # noqa: PTH101 - a path would have to be looked up again
        os.utime(written, ns=(facts.mtime_ns, facts.mtime_ns))

    def complete(self, written: Path, facts: LocalFacts) -> None:
        """Give what was written its time and mode, and then its name."""
        with local_errors(self._path):
            self.dress(written, facts)
            written.replace(self.final)


@contextmanager
def written_whole(path: Path, facts: LocalFacts, *, follow: bool = True) -> Iterator[BinaryIO]:
    """Give a file to write; it gets its name, times and mode only if the block ends well."""
    target = Target(path, follow=follow)
    temporary = target.temporary
    with local_errors(target.final.parent):
        file = target.begin()
    try:
        with file:
            yield file
            with local_errors(path):
                target.dress(file.fileno() if TAKES_NUMBERS else temporary, facts)
        with local_errors(path):
            temporary.replace(target.final)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@dataclass
class Written:
    """A local file that says what went wrong in our own words."""

    file: BinaryIO
    called: Path | str

    def write(self, data: bytes | memoryview, /) -> None:
        """Write all of the data."""
        view = memoryview(data)
        with local_errors(self.called):
            while view:
                view = view[self.file.write(view) :]


def set_facts(path: Path, facts: LocalFacts) -> None:
    """Give a file, or a link itself, another time and mode."""
    with local_errors(path):
        before = path.lstat().st_mode
        if not IS_WINDOWS and stat.S_ISREG(before):
            path.chmod(permissions(before, executable=facts.mode is Mode.EXECUTABLE))
        if not stat.S_ISLNK(before):
            os.utime(path, ns=(facts.mtime_ns, facts.mtime_ns))
        elif os.utime in os.supports_follow_symlinks:
            os.utime(path, ns=(facts.mtime_ns, facts.mtime_ns), follow_symlinks=False)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _replaced(path: Path, *, follow: bool) -> tuple[Path, int | None]:
    """Return where a file really goes, and the mode of the one that is there, if there is one."""
    with local_errors(path):
        try:
            mode = os.stat(path, follow_symlinks=follow).st_mode  # noqa: PTH116 - of `Path` a detour
        except FileNotFoundError:
            return path, None
        if stat.S_ISREG(mode):
            return (path.resolve() if follow and path.is_symlink() else path), mode
        if stat.S_ISLNK(mode):
            return path, None
    raise ConflictError(
        f"The local '{for_terminal(str(path))}' is not a regular file and is not replaced.",
        hint="To write into it: fsclient cat NAME > FILE",
    )


def permissions(before: int | None, *, executable: bool) -> int:
    """Return a file's permissions: what it had, else what the umask allows; and whether it runs."""
    if before is None:
        umask = os.umask(0o077)
        os.umask(umask)
        before = 0o666 & ~umask
    readable = before & 0o666
    return readable | ((readable & 0o444) >> 2 if executable else 0)


def is_folder_there(path: Path, *, follow: bool) -> bool:
    """Tell whether a folder is there already; `ConflictError` if something else is in its place.

    That is a link, too, unless `follow` is set: nothing is ever written through a link that was
    not named by the person.
    """
    kind = kind_at(path, follow=follow)
    if kind == LINK:
        raise ConflictError(
            f"The local '{for_terminal(str(path))}' is a symbolic link; it is not followed.",
            hint="To write where it leads, name that place.",
        )
    if kind not in (FOLDER, None):
        raise ConflictError(f"The local '{for_terminal(str(path))}' is in the way.")
    return kind == FOLDER
