"""A Unix socket in a folder of one user alone, and which process is at its other end.

For systems that follow POSIX; elsewhere `supported` is false, and nothing else may be used.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import struct
from pathlib import Path
from typing import NamedTuple, Self

from fskit import files
from fsproto.errors import ExistsError, NotAllowedError

_MOST_ADDRESS = 100
"""Bytes; a longer path does not fit into the address of a socket on every system."""
_NOT_A_FOLDER = (errno.ENOTDIR, errno.ELOOP)
_WAITING = 16


def supported() -> bool:
    """Return whether this system has Unix sockets."""
    return hasattr(socket, "AF_UNIX")


class Peer(NamedTuple):
    """The process at the other end; `pid` is 0 where the system does not report it."""

    uid: int
    pid: int

    @property
    def is_own(self) -> bool:
        """Whether it is a process of this user."""
        return self.uid == os.geteuid()


def peer_of(connection: socket.socket) -> Peer:
    """Return which user's process is at the other end of a Unix socket; `OSError` if unknown."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is not None:
        form = "3i"
        raw = connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize(form))
        pid, uid, _ = struct.unpack(form, raw)
        return Peer(uid, pid)
    import ctypes

    uid, gid = ctypes.c_uint32(), ctypes.c_uint32()  # macOS and the BSDs
    if ctypes.CDLL(None).getpeereid(connection.fileno(), ctypes.byref(uid), ctypes.byref(gid)):
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
    return Peer(uid.value, 0)


def is_private(facts: os.stat_result) -> bool:
    """Return whether a folder belongs to this user, and no other user has any right to it."""
    own = facts.st_uid == os.geteuid()
    return own and stat.S_ISDIR(facts.st_mode) and not facts.st_mode & 0o077


class PrivateFolder:
    """A folder of this user alone, held open: what was checked is what is used."""

    def __init__(self, path: Path, fd: int) -> None:
        """Own the descriptor of the folder at `path`."""
        self.path = path
        self.fd = fd

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Self:
        """Open a folder, with `create` after making it; its parent must exist.

        Raises `OSError`, `ExistsError` if the path is no folder, and `NotAllowedError` if other
        users have a right to it.
        """
        if create:
            with contextlib.suppress(FileExistsError):  # by itself, or something else: see below
                path.mkdir(0o700)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in _NOT_A_FOLDER and os.path.lexists(path):
                raise ExistsError(f"'{path}' is no folder.", hint="Move it away.") from None
            raise
        if not is_private(os.fstat(fd)):
            os.close(fd)
            raise NotAllowedError(
                f"The folder '{path}' is not yours alone.",
                hint="Remove it, or make it yours: its mode must be 0700.",
            )
        return cls(path, fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def lock(self) -> bool:
        """Lock the folder while it is open here, or in a forked process; False if it is locked."""
        try:
            files.lock(self.fd)
        except BlockingIOError:
            return False
        return True

    def is_in_place(self) -> bool:
        """Return whether the path still leads to this folder."""
        try:
            return os.path.samestat(self.path.lstat(), os.fstat(self.fd))
        except OSError:
            return False

    def listen(self, name: str) -> socket.socket:
        """Return a socket that listens in this folder; it replaces one whose process has ended.

        Call it under the lock. Raises `OSError`, and `ExistsError` if something else has the name.
        """
        place = self.path / name
        if (mode := self._mode(name)) is not None:
            if not stat.S_ISSOCK(mode):
                raise ExistsError(f"'{place}' is no socket.", hint="Move it away.")
            os.unlink(name, dir_fd=self.fd)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listener.bind(self._address(name))
            listener.listen(_WAITING)
        except BaseException:
            listener.close()
            raise
        finally:
            os.umask(before)
        return listener

    def connect(self, name: str, timeout_s: float) -> socket.socket:
        """Return a connection to the socket of this name; `OSError` if nothing listens there."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout_s)
            connection.connect(self._address(name))
        except BaseException:
            connection.close()
            raise
        return connection

    def inode(self, name: str) -> int | None:
        """Return the number of the file of this name; None if there is none."""
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_ino
        except OSError:
            return None

    def remove(self, name: str) -> None:
        """Delete the socket of this name, if it is one, and the folder if it is empty then."""
        with contextlib.suppress(OSError):  # it is gone already
            if stat.S_ISSOCK(self._mode(name) or 0):
                os.unlink(name, dir_fd=self.fd)
        with contextlib.suppress(OSError):  # something else is in it
            self.path.rmdir()

    def _mode(self, name: str) -> int | None:
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return None

    def _address(self, name: str) -> str:
        """Return a path for `bind`; through the descriptor if the folder's own is too long."""
        plain = str(self.path / name)
        if len(os.fsencode(plain)) <= _MOST_ADDRESS:
            return plain
        return f"/proc/self/fd/{self.fd}/{name}"  # Linux alone has it
