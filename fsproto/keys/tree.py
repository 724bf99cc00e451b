"""The key tree: what a node key opens, and the links that lead from a folder to its children.

A node key is 32 random bytes. Everything it is used for has a key of its own:

    link key, name key, metadata key = HKDF-Expand(node key, "fs/1 node … key", 32)
    token = HMAC-SHA256(name key of the folder, name in NFC, UTF-8)
    link  = nonce 12 ‖ AES-256-GCM(link key of the parent, node key of the child,
            associated data = "fs/1 link" ‖ parent ‖ child ‖ u32 generation of the parent's key
                              ‖ u32 generation of the child's key)

Link nonces are random: a folder's key seals one link a new child or move, far fewer than 2^32.
Compare Grolimund et al., "Cryptree" (SRDS 2006).
"""

from __future__ import annotations

import struct
import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING

from fsproto import crypto, labels
from fsproto.errors import IntegrityError
from fsproto.types import NodeId, NodeKey, Token
from fsproto.values import Value

if TYPE_CHECKING:
    from fsproto.sealed.manifest import Manifest
    from fsproto.types import Random

_GENERATIONS = struct.Struct(">II")


class KeyedNode(Value, frozen=True, dict=True):
    """A node and its key: what one must hold to see into it."""

    node: NodeId
    generation: int
    key: NodeKey

    def __repr__(self) -> str:
        return f"KeyedNode(node={self.node!r}, generation={self.generation})"

    @cached_property
    def metadata_key(self) -> bytes:
        """Opens the node's own metadata (32 bytes)."""
        return crypto.hkdf_expand(self.key, labels.NODE_METADATA_KEY)

    @cached_property
    def _link(self) -> crypto.Aead:
        return crypto.Aead(crypto.hkdf_expand(self.key, labels.NODE_LINK_KEY))

    @cached_property
    def _name_key(self) -> bytes:
        return crypto.hkdf_expand(self.key, labels.NODE_NAME_KEY)

    def token(self, name: str) -> Token:
        """Return what the server looks `name` up by in this folder."""
        normal = unicodedata.normalize("NFC", name)
        return Token(crypto.hmac_sha256(self._name_key, normal.encode()))

    def seal_link(self, child: KeyedNode, random: Random) -> bytes:
        """Seal a child's key to this folder."""
        nonce = random(crypto.NONCE_SIZE)
        binding = self._binding(child.node, child.generation)
        return nonce + self._link.seal(nonce, child.key, binding)

    def open_link(self, manifest: Manifest) -> KeyedNode:
        """Return the child with its key; `IntegrityError` if the link is not of this folder."""
        link = manifest.link
        binding = self._binding(manifest.node, manifest.generation)
        try:
            if manifest.parent != self.node or manifest.link_generation != self.generation:
                raise crypto.CryptoError("a link of another folder")
            key = self._link.open(link[: crypto.NONCE_SIZE], link[crypto.NONCE_SIZE :], binding)
        except (crypto.CryptoError, ValueError):
            raise IntegrityError(
                "A file or folder was moved here by somebody who does not hold the folder's key."
            ) from None
        return KeyedNode(manifest.node, manifest.generation, NodeKey(key))

    def _binding(self, child: NodeId, generation: int) -> bytes:
        return labels.LINK + self.node + child + _GENERATIONS.pack(self.generation, generation)


def new_node(random: Random) -> KeyedNode:
    """Return a new node: random id, random key, generation 1."""
    return KeyedNode(NodeId(random(16)), 1, NodeKey(random(crypto.KEY_SIZE)))
