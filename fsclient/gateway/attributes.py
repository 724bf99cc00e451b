"""What is told of a file or folder: its kind, size and time; all rights are its owner's."""

from __future__ import annotations

import stat
from dataclasses import dataclass

from fsclient.gateway.lookup import GatewayNode
from fsclient.gateway.open_write import OpenWrite
from fsproto.sealed.manifest import Mode

_FOLDER = stat.S_IFDIR | 0o700
_LINK = stat.S_IFLNK | 0o777


@dataclass(frozen=True)
class FileAttributes:
    """What `stat` shows of it."""

    mode: int
    """`st_mode`: the kind of file, and the rights, which are its owner's alone."""
    size: int
    mtime_ns: int

    @property
    def is_folder(self) -> bool:
        """Tell a folder from everything else."""
        return stat.S_ISDIR(self.mode)


def facts_of(node: GatewayNode) -> FileAttributes:
    """Return what is told of a node; of a folder that nobody made, nothing but that it is one."""
    if node.found is None:
        return FileAttributes(_FOLDER, 0, 0)
    metadata = node.found.metadata
    if node.kind == "folder":
        return FileAttributes(_FOLDER, 0, metadata.mtime_ns)
    if node.kind == "symlink":
        return FileAttributes(_LINK, metadata.size, metadata.mtime_ns)
    return FileAttributes(_file_mode(metadata.mode), metadata.size, metadata.mtime_ns)


def facts_of_writing(writing: OpenWrite) -> FileAttributes:
    """Return what is told of a file that is being written."""
    return FileAttributes(_file_mode(writing.mode), writing.size, writing.time_ns)


def _file_mode(mode: Mode) -> int:
    return stat.S_IFREG | (0o700 if mode is Mode.EXECUTABLE else 0o600)


def mode_for(permissions: int) -> Mode:
    """Return what is kept of a file's rights: whether its owner may run it."""
    return Mode.EXECUTABLE if permissions & stat.S_IXUSR else Mode.REGULAR
