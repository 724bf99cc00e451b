"""Errors of a profile's files: what is wrong with the folder or the disk, and what to do."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from fsclient.local_errors import local_errors
from fskit.os_errors import NO_LOCKS, NO_SPACE
from fsproto.errors import FsError, NotAllowedError
from fsproto.names import for_terminal

_ABSENT = (errno.ENOENT, errno.ENOTDIR)
_IN_THE_WAY = (errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP)
_ELSEWHERE = "name that with --home or FSCLIENT_HOME."
_PROBE = bytes(4096)


@contextlib.contextmanager
def profile_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` about a file of a profile into a sentence with a hint."""
    try:
        with local_errors(path):
            yield
    except FsError as error:
        cause = error.__cause__
        if isinstance(cause, OSError):
            if cause.errno in NO_LOCKS:
                raise without_locks(path) from cause
            error.hint = error.hint or _advice(path, cause)
        raise


def without_locks(path: Path) -> NotAllowedError:
    """Return the error for a profile on a file system without locks."""
    return NotAllowedError(
        f"{_named(path)} is on a file system that cannot lock files.",
        hint=f"Move the folder of the profile to a local disk, and {_ELSEWHERE}",
    )


def find_error(path: Path) -> FsError | None:
    """Return why a database of a profile cannot be used, found by trying; None if it can be.

    SQLite does not say which call of the system failed.
    """
    try:
        with profile_errors(path):
            _try(path)
    except FsError as error:
        return error
    return None


def _try(path: Path) -> None:
    """Do what SQLite does with a file and the files next to it."""
    for beside in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        with contextlib.suppress(FileNotFoundError):
            os.close(os.open(beside, os.O_RDWR))
    import tempfile

    with tempfile.TemporaryFile(dir=path.parent) as file:
        file.write(_PROBE)
        file.flush()
        if os.name != "nt":
            import fcntl

            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _advice(path: Path, error: OSError) -> str | None:
    if error.errno == errno.EROFS:
        return f"A profile must be writable: copy its folder to another place, and {_ELSEWHERE}"
    if error.errno in _ABSENT:
        return f"Put it back from a copy, or choose another folder and {_ELSEWHERE}"
    if error.errno in _IN_THE_WAY:
        return "A profile has a file of this name; move away the present one."
    if error.errno in NO_SPACE:
        return f"Free some space for '{for_terminal(str(path.parent))}', then try again."
    if error.errno in (errno.EACCES, errno.EPERM) and os.name != "nt":
        return _advice_on_rights(Path(os.fsdecode(error.filename)) if error.filename else path)
    return None


def _advice_on_rights(path: Path) -> str | None:
    """Return what to do about rights that are missing on a path or a folder above it."""
    import pwd

    culprit = next(filter(_is_closed, (path, *path.parents[:-1])), None)
    if culprit is None:
        return None
    owner, shown = culprit.lstat().st_uid, for_terminal(str(culprit))
    if owner == getattr(os, "geteuid", lambda: owner)():  # Windows has none
        return f"The folder or file is yours; allow yourself to write it: chmod -R u+rwX '{shown}'"
    with contextlib.suppress(KeyError):
        name = pwd.getpwuid(owner).pw_name
        return f"'{shown}' belongs to the user {name}: be that user, or {_own_place()}"
    return f"'{shown}' belongs to the user {owner}: be that user, or {_own_place()}"


def _own_place() -> str:
    return f"choose a folder of your own and {_ELSEWHERE}"


def _is_closed(path: Path) -> bool:
    """Return whether a path that exists may not be read and written by this user."""
    try:
        path.lstat()
    except OSError:
        return False
    return not os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0))


def _named(path: Path) -> str:
    return f"The local '{for_terminal(str(path))}'"
