"""Locking of files that one process uses at a time: journals and partial downloads."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fskit import files

_RACES = 8


def lock(path: Path, *, make: bool) -> int | None:
    """Open a file and lock it; return its descriptor, which the caller must close.

    Return None if another process holds the lock, if the file is missing and `make` is not set, if
    it is not a private file of this user (another user may have placed it), or if this system has
    no such locks. Raise `OSError` for other failures.
    """
    if os.name == "nt":
        return None
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | (os.O_CREAT if make else 0)
    for _ in range(_RACES):
        try:
            fd = os.open(path, flags, 0o600)
        except FileNotFoundError:
            if make:
                raise
            return None
        except OSError:
            if os.path.lexists(path):
                return None
            raise
        try:
            files.lock(fd)
            # Who held it until now may have taken it away, or given it another name.
            if os.path.samestat(os.fstat(fd), os.lstat(path)):
                if _is_private(os.fstat(fd)):
                    return fd
                break
        except FileNotFoundError:
            pass
        except OSError:
            break
        os.close(fd)
    else:
        return None
    os.close(fd)
    return None


def remove_unless_held(path: Path) -> None:
    """Delete a file unless a process holds its lock."""
    fd = lock(path, make=False)
    if fd is not None:
        path.unlink(missing_ok=True)
        os.close(fd)


def _is_private(found: os.stat_result) -> bool:
    own = getattr(os, "geteuid", lambda: found.st_uid)()
    return (
        stat.S_ISREG(found.st_mode)
        and found.st_uid == own
        and found.st_nlink == 1
        and not found.st_mode & 0o077
    )
