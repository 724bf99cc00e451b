"""Verified listings of large folders, stored in the profile and sealed.

Most of the time of a listing is needed to verify and open the entries. A verified listing is valid
until the folder has another state. So a command that only lists asks the server for the state, and
if it is the same, reads the entries from here.

`listings/NODE` in the profile, one file for each folder:

    nonce 12 ‖ GCM(key, nonce, u64 mark, binding ‖ nonce of the entries) 24
    ‖ nonce 12 ‖ GCM(key, nonce, packed entries, binding)

    binding = node ‖ hash of the state ‖ commitments to the folder's keys ‖ u32 names_since

The key is derived from the identity, so that a thief of the disk learns no names. The mark says up
to which sighting of the profile's memory the entries were compared with it (`trust.seen`). A file
that does not open, for whatever reason, is ignored and replaced.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from fsclient.tree.nodes import TreeNode
from fsproto import crypto, labels
from fsproto.keys.tree import KeyedNode
from fsproto.packing import Record, decoder_of, pack
from fsproto.sealed.folder import VerifiedState
from fsproto.sealed.manifest import stored_manifest, stored_metadata
from fsproto.signed import Signed
from fsproto.types import Hash, NodeId, NodeKey

_FORMAT = 1
FEWEST = 50
"""Entries of the smallest folder that is stored: smaller ones are verified as fast as read."""
_MOST_BYTES = 32 << 20
"""The largest file."""
_ALL_BYTES = 128 << 20
"""The most for all files; the least recently used ones are deleted first."""
_MARK = struct.Struct(">Q")
_NAMES_SINCE = struct.Struct(">I")
_NONCE = crypto.NONCE_SIZE
_HEAD = _NONCE + _MARK.size + crypto.TAG_SIZE


class _Entry(Record, frozen=True):
    """An entry that was verified and opened."""

    payload: bytes
    signature: bytes
    hash: Hash
    key: NodeKey
    former: tuple[NodeKey, ...]
    names_since: int
    metadata: bytes
    """Packed."""


class _Listing(Record, frozen=True):
    """All entries of one state of a folder, sorted by name."""

    format: int
    entries: list[_Entry]


class StoredListing(NamedTuple):
    """The entries of a folder, and the mark up to which they were compared with the memory."""

    nodes: list[TreeNode]
    mark: int


class StoredListings:
    """The stored listings of one profile."""

    def __init__(self, folder: Path, seed: bytes) -> None:
        """Use files in `folder`, which need not exist, and the seed of the identity's key."""
        self._folder = folder
        self._aead = crypto.Aead(crypto.hkdf(seed, salt=b"", info=labels.LISTING))
        self._is_checked = False
        """Whether the total size of the files was checked."""

    def has(self, folder: NodeId) -> bool:
        """Return whether any listing of a folder is stored, of any state."""
        return self._path(folder).exists()

    def load(self, folder: TreeNode, state: VerifiedState) -> StoredListing | None:
        """Return the stored listing of a verified state; None if there is none that opens."""
        path, binding = self._path(folder.keyed.node), _binding(folder.keyed, state)
        try:
            data = path.read_bytes()
            body = memoryview(data)[_HEAD:]
            mark = self._open(data[:_HEAD], binding + bytes(body[:_NONCE]))
            listing: _Listing = decoder_of(_Listing).decode(self._open(body, binding))
            if listing.format != _FORMAT:
                return None
            nodes = [_opened(folder, entry) for entry in listing.entries]
        except (OSError, ValueError, crypto.CryptoError, msgspec.DecodeError):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return StoredListing(nodes, *_MARK.unpack(mark))

    def save(
        self, folder: TreeNode, state: VerifiedState, nodes: Sequence[TreeNode], mark: int
    ) -> None:
        """Store all entries of a verified state, if they are many; without room, store nothing."""
        if len(nodes) < FEWEST:
            return
        packed = pack(_Listing(_FORMAT, [_entry(one) for one in nodes]))
        if len(packed) > _MOST_BYTES:
            return
        binding = _binding(folder.keyed, state)
        body = self._sealed(packed, binding)
        head = self._sealed(_MARK.pack(mark), binding + body[:_NONCE])
        path = self._path(folder.keyed.node)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            # Not synced to the disk: a file that a crash has damaged is ignored.
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(head + body)
            temporary.replace(path)
            self._make_room()

    def note_checked(self, folder: TreeNode, state: VerifiedState, mark: int) -> None:
        """Store that the entries were compared with the memory up to another mark."""
        binding = _binding(folder.keyed, state)
        with contextlib.suppress(OSError), self._path(folder.keyed.node).open("r+b") as file:
            nonce = file.read(_HEAD + _NONCE)[_HEAD:]
            file.seek(0)
            file.write(self._sealed(_MARK.pack(mark), binding + nonce))

    def _path(self, folder: NodeId) -> Path:
        return self._folder / folder.hex()

    def _sealed(self, plain: bytes, binding: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._aead.seal(nonce, plain, binding)

    def _open(self, sealed: bytes | memoryview, binding: bytes) -> bytes:
        return self._aead.open(bytes(sealed[:_NONCE]), sealed[_NONCE:], binding)

    def _make_room(self) -> None:
        """Delete the least recently used files if there are more bytes than permitted."""
        if self._is_checked:
            return
        self._is_checked = True
        files = [(path, path.stat()) for path in self._folder.iterdir()]
        files.sort(key=lambda one: one[1].st_mtime, reverse=True)
        total = 0
        for path, facts in files:
            total += facts.st_size
            if total > _ALL_BYTES:
                path.unlink()


def _binding(folder: KeyedNode, state: VerifiedState) -> bytes:
    keys = folder.key_commitment + folder.former_commitment
    return folder.node + state.hash + keys + _NAMES_SINCE.pack(folder.names_since)


def _entry(node: TreeNode) -> _Entry:
    signed, keyed = node.manifest.signed, node.keyed
    return _Entry(
        signed.payload,
        signed.signature,
        node.manifest.hash,
        keyed.key,
        keyed.former,
        keyed.names_since,
        pack(node.metadata),
    )


def _opened(folder: TreeNode, entry: _Entry) -> TreeNode:
    manifest = stored_manifest(Signed(entry.payload, entry.signature), entry.hash)
    body, metadata = manifest.body, stored_metadata(entry.metadata)
    keyed = KeyedNode(body.node, body.generation, entry.key, entry.former, entry.names_since)
    return TreeNode(folder.path.child(metadata.name), keyed, manifest, metadata, folder)
