"""A node at a path of the gateway, and the part of it that the cache keeps.

The cache keeps nodes for a short time, but many of them. So it keeps neither the fields of their
manifests, which are in the signed bytes as well, nor keys that are derived from others.
"""

from __future__ import annotations

from dataclasses import dataclass

from fsclient.gateway.paths import GatewayPath
from fsclient.tree.nodes import TreeNode
from fsproto.errors import NotFoundError
from fsproto.keys.tree import KeyedNode
from fsproto.names import RemotePath
from fsproto.packing import unpack
from fsproto.sealed.manifest import Manifest, Metadata, VerifiedManifest
from fsproto.signed import Signed
from fsproto.types import Hash

_ABSENT_BYTES = 200
"""Memory of a name without a node."""
_NODE_BYTES = 1000
"""Memory of a cached node, without what `memory_of` counts by its length."""


@dataclass(frozen=True, slots=True)
class GatewayNode:
    """A node at a path of the gateway."""

    place: GatewayPath
    found: TreeNode | None
    """None for `/@shared`, which is in no user's tree."""

    @property
    def kind(self) -> str:
        """The kind of node: `folder`, `file` or `symlink`."""
        return self.found.kind if self.found is not None else "folder"

    def folder(self) -> TreeNode:
        """Return the node as a folder; raise `NotFoundError` if it is not a folder of a tree."""
        if self.found is None or not self.found.is_folder:
            raise NotFoundError(f"'{self.place}' is not a folder of any user.")
        return self.found


@dataclass(frozen=True, slots=True)
class CachedNode:
    """A node in a cache that may hold many; the fields of its manifest are only packed."""

    place: GatewayPath
    path: RemotePath
    keyed: KeyedNode
    signed: Signed
    hash: Hash
    metadata: Metadata
    above: TreeNode | None

    @classmethod
    def of(cls, node: GatewayNode) -> CachedNode | GatewayNode:
        """Return what the cache keeps of a node."""
        found = node.found
        if found is None or not found.manifest.signed.payload:  # virtual: there are few
            return node
        old, manifest = found.keyed, found.manifest
        # A copy without the keys that were derived from it; only a folder that is used needs them.
        keyed = KeyedNode(old.node, old.generation, old.key, old.former, old.names_since)
        return cls(
            node.place,
            found.path,
            keyed,
            manifest.signed,
            manifest.hash,
            found.metadata,
            found.above,
        )

    def opened(self) -> GatewayNode:
        """Return the node; its manifest was verified before it came into the cache."""
        manifest = VerifiedManifest(unpack(self.signed.payload, Manifest), self.hash, self.signed)
        found = TreeNode(self.path, self.keyed, manifest, self.metadata, self.above)
        return GatewayNode(self.place, found)


def memory_of(node: CachedNode | GatewayNode | None) -> int:
    """Return about how many bytes of memory an entry takes; None: a name without a node."""
    if node is None:
        return _ABSENT_BYTES
    paths = 16 * len(node.place.parts) + 2 * len(node.place.name)
    if isinstance(node, GatewayNode):
        return _NODE_BYTES + paths
    keys = 65 * len(node.keyed.former)
    return _NODE_BYTES + len(node.signed.payload) + len(node.signed.signature) + keys + paths
