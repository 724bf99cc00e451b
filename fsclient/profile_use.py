"""The lock of a profile that is in use: programs share it; a rename or removal excludes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fsclient.profile_errors import profile_errors
from fskit import files
from fsproto.errors import ConflictError

_NAME = "use.lock"


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Keep a profile where it is during the block; wait while it is renamed or replaced."""
    fd = _held(folder)
    try:
        yield
    finally:
        if fd is not None:
            os.close(fd)


@contextmanager
def used_alone(folder: Path) -> Iterator[None]:
    """Keep other programs from a profile during the block; `ConflictError` if one uses it."""
    path = folder / _NAME
    with profile_errors(path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with profile_errors(path):
            try:
                if os.name != "nt":  # there, no folder with an open file can be renamed
                    files.lock(fd)
            except (BlockingIOError, PermissionError):
                raise ConflictError(
                    f"The profile '{folder.name}' is in use by another program.",
                    hint="End its gateway, mount, watch or shell, or wait for its command.",
                ) from None
        yield
    finally:
        os.close(fd)


def is_used(folder: Path) -> bool:
    """Return whether a program uses a profile now; it may not be readable."""
    try:
        fd = os.open(folder / _NAME, os.O_RDWR)
    except OSError:
        return False
    try:
        if os.name != "nt":
            files.lock(fd)
    except (BlockingIOError, PermissionError):
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(fd)
    return False


def _held(folder: Path) -> int | None:
    """Return the descriptor of the shared lock.

    None where a lock cannot be written: there, the profile cannot be renamed or removed either.
    Windows has no shared locks.
    """
    path = folder / _NAME
    while os.name != "nt":
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:  # also before the profile exists
            return None
        with suppress(OSError):  # of a file system without locks
            files.lock(fd, shared=True, wait=True)
        with suppress(OSError):
            if os.path.samestat(os.fstat(fd), path.stat()):
                return fd
        os.close(fd)  # the profile was renamed or replaced in the meantime
    return None
