"""Local files: their attributes, folder listings, and atomic writing."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from itertools import count
from pathlib import Path
from typing import BinaryIO

from fsclient.local_errors import local_errors, name_not_in_locale, name_not_taken
from fsclient.transfer.filters import Filters
from fsproto.errors import ConflictError, InvalidNameError
from fsproto.names import clean_name, for_terminal
from fsproto.sealed.manifest import Mode
from fsproto.values import Value

EARLIEST_NS, LATEST_NS = -1 << 63, (1 << 63) - 1
"""The range of times in a manifest, in nanoseconds since 1970: the years 1677 to 2262."""
_WINDOWS_CHARACTERS = frozenset('<>:"/\\|?*')
_WINDOWS_NAMES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{n}" for port in ("com", "lpt") for n in "123456789¹²³"]
)
IS_WINDOWS = os.name == "nt"
_INODE = (1 << 63) - 1
"""Some file systems of Windows have longer numbers; these bits of them differ as well."""
FILE, FOLDER, LINK, SPECIAL = "file", "folder", "link", "special file"
"""Kinds of local entries."""
TAKES_NUMBERS = {os.chmod, os.utime} <= os.supports_fd
"""Whether time and mode can be set by file descriptor, without another path lookup."""


class LocalStat(Value, frozen=True):
    """Size, time and mode of a local file or folder."""

    size: int
    mtime_ns: int
    mode: Mode
    inode: int = 0
    """The number of the file on its file system; 0 if there is none."""


def facts_of(found: os.stat_result) -> LocalStat:
    """Return size, time and mode of a file or link from its `stat` result."""
    if stat.S_ISLNK(found.st_mode):
        mode = Mode.SYMLINK
    elif found.st_mode & stat.S_IXUSR and not IS_WINDOWS:
        mode = Mode.EXECUTABLE
    else:
        mode = Mode.REGULAR
    return LocalStat(found.st_size, time_ns_of(found), mode, inode_of(found))


def inode_of(found: os.stat_result) -> int:
    """Return the number by which a file system knows a file or folder."""
    return found.st_ino & _INODE


def time_ns_of(found: os.stat_result) -> int:
    """Return the time of the last change, or the nearest time that a manifest holds.

    File systems hold earlier and later times than a manifest does.
    """
    return min(max(found.st_mtime_ns, EARLIEST_NS), LATEST_NS)


def local_name(name: str, *, windows: bool = IS_WINDOWS, shown: str | None = None) -> str:
    """Return a remote name as a local name; raise `InvalidNameError` if that is impossible.

    `shown` is the path for the error; by default it is the name.
    """
    shown = for_terminal(shown or name)
    clean_name(name)
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        raise name_not_in_locale(f"'{shown}'") from None
    if windows and (
        _WINDOWS_CHARACTERS & set(name)
        or name[-1] in ". "
        or name.split(".", maxsplit=1)[0].rstrip(" ").lower() in _WINDOWS_NAMES
    ):
        raise InvalidNameError(f"Windows takes no file named '{shown}'.")
    return name


def is_folder(path: Path) -> bool:
    """Return whether a path leads to a folder; raise `FsError` if that cannot be determined."""
    with local_errors(path):
        return stat.S_ISDIR(path.stat().st_mode)


_PASSING_NUMBERS = count(int.from_bytes(os.urandom(7)))
_PASSING = re.compile(r"\.(fs-[0-9a-f]{16}|.*\.[0-9a-f]{16}\.fs-part)", re.DOTALL)


def is_passing(name: str) -> bool:
    """Return whether this is the name of a temporary or partial file of a `get`."""
    return name.startswith(".") and _PASSING.fullmatch(name) is not None


def passing_name() -> str:
    """Return a unique name for a temporary file."""
    return f".fs-{next(_PASSING_NUMBERS):016x}"


class LocalEntry(Value, frozen=True):
    """One entry of a local folder."""

    name: str
    place: str
    """The path as text: a `Path` is slow to create and often not needed."""
    kind: str
    """`FILE`, `FOLDER`, `LINK` or `SPECIAL`."""

    @property
    def path(self) -> Path:
        """The path of the entry."""
        return Path(self.place)


def children(folder: Path) -> list[LocalEntry]:
    """Return a folder's entries, sorted by name."""
    with local_errors(folder), os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
        return [LocalEntry(entry.name, _plain(entry.path), _kind(entry)) for entry in found]


def _plain(path: str) -> str:
    """Return a path from a scan in the form that `Path` prints."""
    return path.removeprefix(f".{os.sep}")


def kind_at(path: Path, *, follow: bool = False) -> str | None:
    """Return a path's kind: `FILE`, `FOLDER`, `LINK`, `SPECIAL`, or None if it is missing."""
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


def sizes(path: Path, filters: Filters) -> Iterator[int]:
    """Yield the size of each regular file at or under a path; skip unreadable ones."""
    with suppress(OSError):
        if path.is_file() and not filters.leave_out(path.name, lambda: facts_of(path.stat())):
            yield path.stat().st_size
    left = [(str(path), "")]
    while left:
        folder, relative = left.pop()
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                if filters:
                    facts = None if is_folder else partial(_facts_of_entry, entry)
                    if filters.leave_out(relative + entry.name, facts):
                        continue
                if is_folder:
                    left.append((entry.path, f"{relative}{entry.name}/"))
                elif entry.is_file(follow_symlinks=False):
                    yield entry.stat(follow_symlinks=False).st_size


def _facts_of_entry(entry: os.DirEntry[str]) -> LocalStat:
    return facts_of(entry.stat(follow_symlinks=False))


def fill(room: memoryview, file: BinaryIO) -> int:
    """Read a file or pipe into `room`; return the bytes read, fewer than its size only at EOF."""
    have = 0
    while have < len(room) and (count := file.readinto(room[have:])):  # type: ignore[attr-defined]
        have += count
    return have


class LocalTarget:
    """The target path of a local file, with the file that it replaces.

    With `follow`, a link is followed and the file it points to is replaced; else the link itself
    is. Only regular files and such links are replaced.
    """

    def __init__(self, path: Path, *, follow: bool = True) -> None:
        """Inspect the target; raise `ConflictError` if it must not be replaced."""
        self._path = path
        self.final, self._mode = _replaced(path, follow=follow)

    @cached_property
    def temporary(self) -> Path:
        """The path of the file until it is complete."""
        return self.final.parent / passing_name()

    def begin(self) -> BinaryIO:
        """Create the temporary file in the target's folder, readable only by its owner."""
        return open(self.temporary, "xb", buffering=0, opener=_private)

    def set_metadata(self, written: Path | int, facts: LocalStat) -> None:
        """Set time and mode of the written file, given by path or file descriptor."""
        if not IS_WINDOWS:
            mode = permissions(self._mode, executable=facts.mode is Mode.EXECUTABLE)
            os.chmod(written, mode)  # noqa: PTH101 - a path would have to be looked up again
        set_time(written, facts.mtime_ns)

    def complete(self, written: Path, facts: LocalStat) -> None:
        """Set time and mode of the written file, then rename it to its final name."""
        with local_errors(self._path):
            self.set_metadata(written, facts)
            give_name(written, self.final)


@contextmanager
def written_whole(path: Path, facts: LocalStat, *, follow: bool = True) -> Iterator[BinaryIO]:
    """Yield a file to write; it gets its name, time and mode only if the block succeeds."""
    target = LocalTarget(path, follow=follow)
    temporary = target.temporary
    with local_errors(target.final.parent):
        file = target.begin()
    try:
        with file:
            yield file
            with local_errors(path):
                target.set_metadata(file.fileno() if TAKES_NUMBERS else temporary, facts)
        with local_errors(path):
            give_name(temporary, target.final)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


class OutputFile(Value, frozen=True):
    """A local file whose write errors are raised as `FsError`."""

    file: BinaryIO
    called: Path | str

    def write(self, data: bytes | memoryview, /) -> None:
        """Write all of the data."""
        view = memoryview(data)
        with local_errors(self.called):
            while view:
                view = view[self.file.write(view) :]


def give_name(temporary: Path | str, final: Path | str) -> None:
    """Rename a complete file to its final name; raise `InvalidNameError` if that is refused."""
    try:
        os.replace(temporary, final)  # noqa: PTH105 - of two strings, often
    except OSError as error:
        if os.path.lexists(temporary):
            raise_if_refused(error, Path(final))
        raise


def make_folder(path: Path) -> None:
    """Create a local folder in an existing one; raise `FsError` if that fails."""
    with local_errors(path):
        try:
            path.mkdir()
        except OSError as error:
            raise_if_refused(error, path)
            raise


def raise_if_refused(error: OSError, path: Path) -> None:
    """Raise `InvalidNameError` if a file could not be created because of its name."""
    # Some file systems report a name that they do not take as a missing file.
    missing = error.errno == errno.ENOENT and path.parent.is_dir()
    if missing or error.errno in (errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG):
        raise name_not_taken(path) from error


def set_facts(path: Path, facts: LocalStat) -> None:
    """Set time and mode of a file, or of a link itself."""
    with local_errors(path):
        before = path.lstat().st_mode
        if not IS_WINDOWS and stat.S_ISREG(before):
            path.chmod(permissions(before, executable=facts.mode is Mode.EXECUTABLE))
        if not stat.S_ISLNK(before):
            set_time(path, facts.mtime_ns)
        elif os.utime in os.supports_follow_symlinks:
            set_time(path, facts.mtime_ns, follow_symlinks=False)


def set_time(written: Path | int, mtime_ns: int, *, follow_symlinks: bool = True) -> None:
    """Set the time of a file or folder, given by path or file descriptor.

    `OSError` with `ERANGE` where there is no such time. Linux sets the nearest one.
    """
    try:
        if follow_symlinks:  # a descriptor does not take the argument, not even its default
            os.utime(written, ns=(mtime_ns, mtime_ns))
        else:
            os.utime(written, ns=(mtime_ns, mtime_ns), follow_symlinks=False)
    except OverflowError:
        raise OSError(errno.ERANGE, os.strerror(errno.ERANGE)) from None
    except OSError as error:
        if error.errno == errno.EINVAL:  # of a path, it means that the name is not taken
            error.errno = errno.ERANGE
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _replaced(path: Path, *, follow: bool) -> tuple[Path, int | None]:
    """Return the resolved target path, and the mode of the existing file or None."""
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
    """Return permissions: the previous ones or those of the umask, plus executable bits."""
    if before is None:
        umask = os.umask(0o077)
        os.umask(umask)
        before = 0o666 & ~umask
    readable = before & 0o666
    return readable | ((readable & 0o444) >> 2 if executable else 0)


def is_folder_there(path: Path, *, follow: bool) -> bool:
    """Return whether the folder exists; raise `ConflictError` if the path is something else.

    Without `follow`, a link also raises it: files are never written through a link that the user
    did not name.
    """
    kind = kind_at(path, follow=follow)
    if kind == LINK:
        raise ConflictError(
            f"The local '{for_terminal(str(path))}' is a symbolic link; it is not followed.",
            hint="To write to its target, give the path of the target.",
        )
    if kind not in (FOLDER, None):
        raise ConflictError(f"The local '{for_terminal(str(path))}' is in the way.")
    return kind == FOLDER
