"""The files that two folders had in common after their last sync, compared with those of now.

Pure: no disk, no network. A file is what it was if size, time and kind of the local one are, and if
the root of the remote one is: the root identifies content, whatever its name, time or node key.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

import msgspec

from fsclient.transfer.compare import same_mode, same_time
from fsclient.transfer.local.files import LocalStat
from fsproto.packing import Record
from fsproto.sealed.manifest import Mode
from fsproto.signed import Signed
from fsproto.types import NO_NODE, NodeId, Root

FORMAT = 4


class SyncedFile(Record, frozen=True):
    """A file or symbolic link that was the same on both sides."""

    size: int
    mtime_ns: int
    mode: Mode
    root: Root
    remote_mode: Mode
    """The mode of the remote file; a local file system may not hold it."""
    node: NodeId = NO_NODE
    """The remote file."""
    inode: int = 0
    """The number of the local file; 0 if that is unknown."""

    def is_local(self, facts: LocalStat) -> bool:
        """Return whether a local file still has the size, time and kind that it had then."""
        return (
            facts.size == self.size
            and same_time(facts.mtime_ns, self.mtime_ns)
            and (facts.mode is Mode.SYMLINK) == (self.mode is Mode.SYMLINK)
        )

    def is_unchanged(self, facts: LocalStat) -> bool:
        """Return whether a local file also has the mode that it had then."""
        return self.is_local(facts) and same_mode(facts.mode, self.mode)


def synced_file(
    facts: LocalStat, root: Root, remote_mode: Mode | None = None, node: NodeId = NO_NODE
) -> SyncedFile:
    """Return a local file, and the remote one of this root, as a file that both sides have.

    Without `remote_mode`, the remote file has the local one's mode.
    """
    size, mtime_ns, mode = facts.size, facts.mtime_ns, facts.mode
    return SyncedFile(size, mtime_ns, mode, root, remote_mode or mode, node, facts.inode)


class SyncedFolder(Record, frozen=True):
    """A folder that both sides had; the path of the top folder is empty."""

    node: NodeId
    """The remote folder."""
    inode: int = 0
    """The number of the local folder; 0 if that is unknown."""
    manifest: Signed | None = None
    """The remote folder's manifest; None for the top folder."""
    state: bytes = b""
    """Hash of the remote folder's state, if that has the entries that both sides had, and no other;
    empty if it has others, or if that is unknown."""


class Head(Record, frozen=True):
    """One version of a remote folder's state: number, lineage and hash (32 bytes each)."""

    version: int
    lineage: bytes
    hash: bytes


class PairState(Record, frozen=True):
    """All files and folders that both sides had, by path from the top folder, in NFC."""

    format: int
    complete: bool
    """Whether a sync of them has ended without a failure."""
    files: dict[str, SyncedFile]
    folders: dict[str, SyncedFolder] = msgspec.field(default_factory=dict)
    """All folders that both sides had, with the top folder as the empty path."""
    heads: dict[bytes, Head] = msgspec.field(default_factory=dict)
    """The state of each remote folder after the last complete sync, by its node."""
    made_by: str = ""
    """What the last complete sync did: `up`, `down` or `both`; a `state` counts for it alone."""


class Change(Enum):
    """What happened since the last sync to a file that a sync is about to replace or remove."""

    NONE = auto()
    """The destination is as the last sync left it: it may be replaced."""
    DESTINATION = auto()
    """Only the destination changed."""
    BOTH = auto()
    """Both sides changed, or the source removed the file that the destination changed."""
    UNKNOWN = auto()
    """The last sync left no such file on both sides, or there was none."""


def change_at_server(
    files: Mapping[str, SyncedFile], path: str, found: Root, source: LocalStat | None
) -> Change:
    """Return what happened to a remote file, whose local source is None if it was removed."""
    last = files.get(path)
    if last is None:
        return Change.UNKNOWN
    if found == last.root:
        return Change.NONE
    same_source = source is not None and last.is_local(source)
    return Change.DESTINATION if same_source else Change.BOTH


def change_here(
    files: Mapping[str, SyncedFile], path: str, found: LocalStat, source: Root | None
) -> Change:
    """Return what happened to a local file, whose remote source is None if it was removed."""
    last = files.get(path)
    if last is None:
        return Change.UNKNOWN
    if last.is_local(found):
        return Change.NONE
    return Change.DESTINATION if source == last.root else Change.BOTH
