"""Nodes that were found, verified and opened, and folders as the server proved them to be."""

from __future__ import annotations

from fsclient.trust.sightings import MANIFEST, STATE, Sighting
from fsproto.errors import ExistsError
from fsproto.keys.tree import KeyedNode
from fsproto.names import RemotePath
from fsproto.proofs.prefix_tree import PrefixTree
from fsproto.sealed.folder import VerifiedState
from fsproto.sealed.manifest import Metadata, Mode, NodeKind, VerifiedManifest
from fsproto.types import NO_NODE, Token
from fsproto.values import Value


class TreeNode(Value, frozen=True):
    """A node that was found, verified and opened."""

    path: RemotePath
    keyed: KeyedNode
    manifest: VerifiedManifest
    metadata: Metadata
    above: TreeNode | None = None
    """The folder in which it was found; None for a root, and for the list of a user's shares."""

    @property
    def is_due(self) -> bool:
        """Return whether it is to take a new key: its folder has taken one since."""
        above = self.above
        return above is not None and self.manifest.body.link_generation < above.keyed.generation

    @property
    def is_due_on_path(self) -> bool:
        """Return whether it, or a folder on the way to it, is due for a new key."""
        return self.is_due or (self.above is not None and self.above.is_due_on_path)

    @property
    def is_folder(self) -> bool:
        """Tell a folder from a file."""
        return self.manifest.body.kind is NodeKind.FOLDER

    @property
    def kind(self) -> str:
        """What it is: `folder`, `file` or `symlink`."""
        if self.is_folder:
            return "folder"
        return "symlink" if self.metadata.mode is Mode.SYMLINK else "file"


class FolderView(Value, frozen=True):
    """A folder as the server proved it to be: its state, and as much of its tree as was asked."""

    state: VerifiedState
    tree: PrefixTree
    found: dict[Token, VerifiedManifest]


def must_be_folder(found: TreeNode) -> TreeNode:
    """Return a folder; `ExistsError` if a file is in its place."""
    if not found.is_folder:
        raise ExistsError(f"'{found.path}' is a file, not a folder.")
    return found


def seen_manifest(manifest: VerifiedManifest) -> Sighting:
    """Return what the memory keeps of a manifest."""
    body = manifest.body
    return Sighting(body.node, MANIFEST, manifest.point, body.parent, body.author, body.time_ms)


def seen_state(state: VerifiedState) -> Sighting:
    """Return what the memory keeps of a folder state."""
    body = state.body
    return Sighting(body.folder, STATE, state.point, NO_NODE, body.author, body.time_ms)
