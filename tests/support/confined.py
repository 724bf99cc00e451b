"""Acts in a child process that may do less: of another user, or on files that nothing can lock."""

from __future__ import annotations

import ctypes
import errno
import os
import pickle
import platform
import struct
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

STRANGER = 54321
"""A user without an entry in the list of users."""
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBERS = {"x86_64": (72, 73), "aarch64": (25, 32)}
"""The system calls fcntl and flock."""
_LOCK_COMMANDS = (5, 6, 7, 36, 37, 38)
"""F_GETLK, F_SETLK, F_SETLKW, and the same for open file descriptions."""


def in_child(confine: Callable[[], object], act: Callable[[], T]) -> T:
    """Return what `act` returns in a child process that has called `confine` before."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            confine()
            said = pickle.dumps((act(), ""))
        except BaseException:  # noqa: BLE001 - shown by the parent
            said = pickle.dumps((None, traceback.format_exc()))
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(said)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    found, failed = pickle.loads(said)
    assert not failed, failed
    result: T = found
    return result


def become_stranger() -> None:
    """Give up root's rights for those of `STRANGER`."""
    os.setgroups([])
    os.setgid(STRANGER)
    os.setuid(STRANGER)


def lose_locks() -> None:
    """Let every lock of this process fail, as on a network file system without a lock service."""
    fcntl, flock = _NUMBERS[platform.machine()]
    program = [
        (_LOAD, 0, 0, 0),  # the number of the call
        (_EQUAL, len(_LOCK_COMMANDS) + 4, 0, flock),
        (_EQUAL, 1, 0, fcntl),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, 24),  # the lower half of its second argument
        *((_EQUAL, len(_LOCK_COMMANDS) - i, 0, each) for i, each in enumerate(_LOCK_COMMANDS)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _FAIL | errno.ENOLCK),
    ]
    packed = b"".join(struct.pack("HBBI", *one) for one in program)
    steps = ctypes.create_string_buffer(packed)
    filter_ = struct.pack("HxxxxxxP", len(program), ctypes.addressof(steps))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _FILTER, ctypes.create_string_buffer(filter_), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "seccomp")


@contextmanager
def open_place() -> Iterator[Path]:
    """Yield a folder that every user can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="fs-open-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


only_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root acts as another user"
)
only_with_seccomp = pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() not in _NUMBERS,
    reason="system calls cannot be made to fail here",
)
