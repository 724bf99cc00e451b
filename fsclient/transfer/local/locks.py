"""Files that one process at a time works on, and the next one finds again: journals, partials."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_RACES = 8


def lock(path: Path, *, make: bool) -> int | None:
    """Open a file and lock it; return its descriptor, to be closed by whoever gets it.

    None if another process holds it, if it is not there and shall not be made, if it is not a
    private file of our own (somebody else may have put it there), or if this system has no such
    locks. `OSError` for anything else.
    """
    if os.name == "nt":
        return None
    import fcntl

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
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
    """Delete such a file, but not one that a process works on."""
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
