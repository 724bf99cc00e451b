"""Private files that are written whole or not at all, and locks that end with their process."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_CANNOT_SYNC = (errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOTSUP)


def write_private(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Write a file (0600) whole or not at all; the file and its name are on the disk then.

    Without `replace`, `FileExistsError` if the name is taken.
    """
    with whole_file(path, replace=replace) as file:
        file.write(data)


def others_may_read(file: BinaryIO) -> bool:
    """Return whether other users may read an open file, or write it (POSIX only)."""
    return os.name == "posix" and bool(os.fstat(file.fileno()).st_mode & 0o077)


@contextmanager
def whole_file(path: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """Yield a file (0600) that gets its name when the block ends; no file if the block raises.

    Without `replace`, `FileExistsError` at the end if the name is taken by then. That needs a file
    system with hard links.
    """
    import tempfile

    fd, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    temporary = Path(name)
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            _sync(file)
        if replace:
            temporary.replace(path)
        else:
            os.link(temporary, path)  # unlike a rename, it never replaces a file
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Create a file (0600) that has its name from the start; delete it if the block raises.

    `FileExistsError` if the name is taken. Needs no hard links, which a USB stick has not.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            _sync(file)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_folders(path: Path, mode: int = 0o777) -> None:
    """Create a folder unless it exists, and its missing parents, however many they are.

    `mode` is for the folder alone. `pathlib` does the same by recursion, which ends at about 1,000.
    """
    missing = [path]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for parent in reversed(missing[1:]):
        parent.mkdir(exist_ok=True)
    path.mkdir(mode, exist_ok=True)


def everything_below(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder and in the folders below it; a folder before what is in it.

    Links are not followed. `os.walk` and `shutil.rmtree` of Python 3.11 do the same by recursion,
    which ends at about 1,000 folders.
    """
    left = [str(folder)]
    while left:
        with os.scandir(left.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                yield entry


def remove_tree(folder: Path) -> None:
    """Remove a folder with everything in it, however deep that is."""
    for entry in reversed(list(everything_below(folder))):
        if entry.is_dir(follow_symlinks=False):
            Path(entry.path).rmdir()
        else:
            Path(entry.path).unlink()
    folder.rmdir()


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    if os.name == "nt":
        return  # Windows has no such call, and journals the rename itself
    try:
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        # A folder may be open for writing only, and some file systems cannot sync one.
        if error.errno not in _CANNOT_SYNC:
            raise


def lock(fd: int, *, shared: bool = False, wait: bool = False) -> None:
    """Lock an open file until it is closed or the process ends; `OSError` if it is taken.

    With `wait`, wait until it is free. On Windows every lock is exclusive, and the wait ends with
    an `OSError` after ten seconds.
    """
    # The package `filelock` cannot replace this: it has no shared lock of one file, it does not
    # lock a descriptor that the caller has checked, and on a file system without flock it falls
    # back to marker files, which can outlive their process.
    if os.name == "nt":
        import msvcrt

        how = msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK  # type: ignore[attr-defined,unused-ignore]
        msvcrt.locking(fd, how, 1)  # type: ignore[attr-defined,unused-ignore]
    else:
        import fcntl

        how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(fd, how if wait else how | fcntl.LOCK_NB)
