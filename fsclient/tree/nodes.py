"""Verified and opened nodes, and folders with the entries that the server has proved."""

from __future__ import annotations

import struct

from msgspec.structs import replace

from fsclient.trust.sightings import GONE, MANIFEST, STATE, Sighting
from fsproto.errors import ExistsError, IntegrityError, NotAllowedError, RemoteProtocolError
from fsproto.keys.tree import KeyedNode
from fsproto.limits import LINK_SIZE
from fsproto.names import RemotePath
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed.folder import VerifiedState
from fsproto.sealed.manifest import Metadata, Mode, NodeKind, VerifiedManifest, open_name
from fsproto.types import NO_NODE, Token
from fsproto.values import Value

_GENERATIONS = struct.Struct(">II")
"""Generations of a node's own key and of its folder's, before link and metadata."""


class TreeNode(Value, frozen=True):
    """A verified and opened node."""

    path: RemotePath
    keyed: KeyedNode
    manifest: VerifiedManifest
    metadata: Metadata
    above: TreeNode | None = None
    """The folder in which it was found; None for a root, and for the list of a user's shares."""

    @property
    def is_due(self) -> bool:
        """Return whether it is due for a new key, because its folder has taken one since."""
        above = self.above
        return above is not None and self.manifest.body.link_generation < above.keyed.generation

    @property
    def is_due_on_path(self) -> bool:
        """Return whether it, or a folder on the way to it, is due for a new key."""
        return self.is_due or (self.above is not None and self.above.is_due_on_path)

    @property
    def is_folder(self) -> bool:
        """Return whether it is a folder."""
        return self.manifest.body.kind is NodeKind.FOLDER

    @property
    def kind(self) -> str:
        """The kind: `folder`, `file` or `symlink`."""
        if self.is_folder:
            return "folder"
        return "symlink" if self.metadata.mode is Mode.SYMLINK else "file"


def check_signed(folder: TreeNode, option: str) -> None:
    """Raise `NotAllowedError` for the list of a user's shares: a server can hide one of them."""
    if folder.keyed.node == NO_NODE:
        raise NotAllowedError(
            f"'{folder.path}' is the list of what {folder.path.owner} shares: what is missing "
            f"there may be hidden by the server, so {option} cannot be used with it.",
            hint=f"Give one of the shares: {folder.path}NAME.",
        )


class FolderView(Value, frozen=True):
    """A proved folder: its state, and the requested part of its tree."""

    state: VerifiedState
    tree: PrefixTree
    found: dict[Token, VerifiedManifest]


def must_be_folder(found: TreeNode) -> TreeNode:
    """Return a folder; `ExistsError` if a file is in its place."""
    if not found.is_folder:
        raise ExistsError(f"'{found.path}' is a file, not a folder.")
    return found


def seen_manifest(manifest: VerifiedManifest) -> Sighting:
    """Return the sighting of a manifest."""
    body = manifest.body
    return Sighting(
        body.node,
        MANIFEST,
        manifest.point,
        body.parent,
        body.author,
        body.time_ms,
        _GENERATIONS.pack(body.generation, body.link_generation) + body.link + body.metadata,
    )


def name_seen(folder: TreeNode, seen: Sighting) -> str | None:
    """Return the name of an entry of `folder` that was seen; None if its keys do not open it.

    The folder may be older than the entry: a name that was sealed under a later key stays closed.
    """
    if len(seen.sealed_name) <= _GENERATIONS.size + LINK_SIZE:
        return None
    generation, link_generation = _GENERATIONS.unpack_from(seen.sealed_name)
    rest = seen.sealed_name[_GENERATIONS.size :]
    manifest = replace(
        folder.manifest.body,
        node=seen.node,
        parent=folder.keyed.node,
        version=seen.point.version,
        generation=generation,
        link_generation=link_generation,
        link=rest[:LINK_SIZE],
        metadata=rest[LINK_SIZE:],
    )
    try:
        key = KeyedNode(seen.node, generation, folder.keyed.open_key(manifest)).metadata_key
        return open_name(key, manifest)
    except (IntegrityError, RemoteProtocolError):
        return None


def entry_of(manifest: VerifiedManifest) -> FolderEntry:
    """Return the entry that a folder has for a node with this manifest."""
    return FolderEntry(manifest.body.token, manifest.body.node, manifest.hash)


def seen_gone(manifest: VerifiedManifest) -> Sighting:
    """Return the sighting that this device has removed a node in this version."""
    body = manifest.body
    return Sighting(body.node, GONE, manifest.point, body.parent, body.author, body.time_ms)


def seen_state(state: VerifiedState) -> Sighting:
    """Return the sighting of a folder state."""
    body = state.body
    return Sighting(body.folder, STATE, state.point, NO_NODE, body.author, body.time_ms)
