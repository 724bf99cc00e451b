"""Attributes of files and folders: kind, size and time; only the owner has permissions."""

from __future__ import annotations

import stat
from dataclasses import dataclass

from fsclient.gateway.nodes import GatewayNode
from fsclient.gateway.open_write import OpenWrite
from fskit.sftp.packets import Attributes
from fsproto.sealed.manifest import Mode

_FOLDER = stat.S_IFDIR | 0o700
_LINK = stat.S_IFLNK | 0o777
_NS = 1_000_000_000


@dataclass(frozen=True)
class FileAttributes:
    """The attributes that `stat` shows."""

    mode: int
    """`st_mode`: the kind of file and its permissions; only the owner has any."""
    size: int
    mtime_ns: int

    @property
    def is_folder(self) -> bool:
        """Return whether the node is a folder."""
        return stat.S_ISDIR(self.mode)

    def described(self, mtime_ns: int | None, mode: Mode | None) -> FileAttributes:
        """Return the attributes of a file with another time and mode, where they are given."""
        return FileAttributes(
            self.mode if mode is None else _file_mode(mode),
            self.size,
            self.mtime_ns if mtime_ns is None else mtime_ns,
        )


def facts_of(node: GatewayNode) -> FileAttributes:
    """Return a node's attributes; a virtual folder has only its kind."""
    if node.found is None:
        return FileAttributes(_FOLDER, 0, 0)
    metadata = node.found.metadata
    if node.kind == "folder":
        return FileAttributes(_FOLDER, 0, metadata.mtime_ns)
    if node.kind == "symlink":
        return FileAttributes(_LINK, metadata.size, metadata.mtime_ns)
    return FileAttributes(_file_mode(metadata.mode), metadata.size, metadata.mtime_ns)


def facts_of_writing(writing: OpenWrite) -> FileAttributes:
    """Return the attributes of a file that is being written."""
    return FileAttributes(_file_mode(writing.mode), writing.size, writing.time_ns)


def _file_mode(mode: Mode) -> int:
    return stat.S_IFREG | (0o700 if mode is Mode.EXECUTABLE else 0o600)


def mode_for(permissions: int) -> Mode:
    """Return the mode to store for POSIX permissions: whether the owner may execute the file."""
    return Mode.EXECUTABLE if permissions & stat.S_IXUSR else Mode.REGULAR


def wishes(wanted: Attributes) -> tuple[int | None, Mode | None]:
    """Return the requested time and mode; file owners and access times are not stored."""
    mtime_ns = wanted.times[1] * _NS if wanted.times is not None else None
    mode = mode_for(wanted.permissions) if wanted.permissions is not None else None
    return mtime_ns, mode


def describe(writing: OpenWrite, wanted: Attributes) -> None:
    """Set size, time and permissions of a file that is being written."""
    if wanted.size is not None:
        writing.truncate(wanted.size)
    mtime_ns, mode = wishes(wanted)
    if mtime_ns is not None or mode is not None:
        writing.describe(mtime_ns, mode)
