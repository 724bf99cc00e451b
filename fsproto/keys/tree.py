"""The key tree: node keys, and the links from a folder to its children.

A node key is 32 random bytes. A separate key is derived from it for each purpose:

    link key, name key, metadata key, former key = HKDF-Expand(node key, "fs/2 node … key", 32)
    token  = HMAC-SHA256(name key of the folder, name in NFC, UTF-8)
    link   = nonce 12 ‖ AES-256-GCM(link key of the parent, node key of the child,
             associated data = "fs/2 link" ‖ parent ‖ child ‖ u32 generation of the parent's key
                               ‖ u32 generation of the child's key)
    former = nonce 12 ‖ AES-256-GCM(former key of the node, its keys before this one, the newest
             first, associated data = "fs/2 former keys" ‖ node ‖ u32 generation)

When a node loses a reader, it gets a key of the next generation. The new key opens the earlier
ones, so that the nodes below need not change at once: a link that was sealed under an older
generation still opens, and marks the child as due for a new key.

Nonces are random: a folder's key seals one link per new or moved child, and one list of former keys
per generation, far fewer than 2^32. Compare Grolimund et al., "Cryptree" (SRDS 2006).
"""

from __future__ import annotations

import struct
import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING

from fsproto import crypto, labels
from fsproto.errors import IntegrityError, NotAllowedError
from fsproto.limits import MAX_GENERATION
from fsproto.types import NodeId, NodeKey, Token
from fsproto.values import Value

if TYPE_CHECKING:
    from fsproto.sealed.manifest import Manifest
    from fsproto.types import Random

_GENERATIONS = struct.Struct(">II")
_GENERATION = struct.Struct(">I")


class KeyedNode(Value, frozen=True, dict=True):
    """A node and the keys that open it."""

    node: NodeId
    generation: int
    key: NodeKey
    former: tuple[NodeKey, ...] = ()
    """The known keys of earlier generations, the newest first."""
    names_since: int = 1
    """The oldest generation under which an entry of this folder may still have its token."""

    def __repr__(self) -> str:
        return f"KeyedNode(node={self.node!r}, generation={self.generation})"

    @cached_property
    def metadata_key(self) -> bytes:
        """The key of the node's own metadata (32 bytes)."""
        return crypto.hkdf_expand(self.key, labels.NODE_METADATA_KEY)

    @cached_property
    def _link(self) -> crypto.Aead:
        return crypto.Aead(crypto.hkdf_expand(self.key, labels.NODE_LINK_KEY))

    @cached_property
    def _name_key(self) -> bytes:
        return crypto.hkdf_expand(self.key, labels.NODE_NAME_KEY)

    @cached_property
    def _former_key(self) -> crypto.Aead:
        return crypto.Aead(crypto.hkdf_expand(self.key, labels.NODE_FORMER_KEY))

    @cached_property
    def _ages(self) -> dict[int, KeyedNode]:
        """This node at each generation whose key is known."""
        ages = {self.generation: self}
        for back, key in enumerate(self.former, 1):
            ages[self.generation - back] = KeyedNode(self.node, self.generation - back, key)
        return ages

    def at(self, generation: int) -> KeyedNode:
        """Return the node at a generation; `IntegrityError` if that key is not known."""
        found = self._ages.get(generation)
        if found is None:
            raise IntegrityError("Something was sealed under a key that its folder never had.")
        return found

    def token(self, name: str) -> Token:
        """Return the token by which the server looks up `name` under the current key."""
        normal = unicodedata.normalize("NFC", name)
        return Token(crypto.hmac_sha256(self._name_key, normal.encode()))

    def tokens(self, name: str) -> list[Token]:
        """Return all tokens that `name` may have here, the newest first; nearly always one."""
        if self.names_since == self.generation or not self.former:
            return [self.token(name)]
        ages = range(self.generation, self.names_since - 1, -1)
        return [self._ages[age].token(name) for age in ages if age in self._ages]

    def seal_link(self, child: KeyedNode, random: Random) -> bytes:
        """Seal a child's key to this folder."""
        nonce = random(crypto.NONCE_SIZE)
        binding = self._binding(child.node, child.generation)
        return nonce + self._link.seal(nonce, child.key, binding)

    def open_link(self, manifest: Manifest) -> KeyedNode:
        """Return the child with its keys; `IntegrityError` if the link is not of this folder."""
        try:
            if manifest.parent != self.node:
                raise crypto.CryptoError("a link of another folder")
            key = self.at(manifest.link_generation).unlink(manifest)
        except (crypto.CryptoError, ValueError, IntegrityError):
            raise IntegrityError(
                "A file or folder was moved here by somebody who does not hold the folder's key."
            ) from None
        return KeyedNode(manifest.node, manifest.generation, NodeKey(key)).with_former(manifest)

    def unlink(self, manifest: Manifest) -> bytes:
        """Open a link that was sealed under exactly this key; `CryptoError` if it was not."""
        link, binding = manifest.link, self._binding(manifest.node, manifest.generation)
        return self._link.open(link[: crypto.NONCE_SIZE], link[crypto.NONCE_SIZE :], binding)

    def with_former(self, manifest: Manifest) -> KeyedNode:
        """Return this node with its former keys, opened from its manifest."""
        if self.generation == 1 and not manifest.former:
            return self
        sealed, binding = manifest.former, self._former_binding()
        try:
            opened = self._former_key.open(
                sealed[: crypto.NONCE_SIZE], sealed[crypto.NONCE_SIZE :], binding
            )
        except (crypto.CryptoError, ValueError):
            raise IntegrityError("The former keys of a file or folder were changed.") from None
        size = crypto.KEY_SIZE
        keys = tuple(NodeKey(opened[at : at + size]) for at in range(0, len(opened), size))
        if len(opened) % size or len(keys) != self.generation - 1:
            raise IntegrityError("The former keys of a file or folder are not all there.")
        return KeyedNode(self.node, self.generation, self.key, keys, manifest.names_since)

    def seal_former(self, random: Random) -> bytes:
        """Seal the former keys under the current one; empty if there are none."""
        if not self.former:
            return b""
        nonce = random(crypto.NONCE_SIZE)
        return nonce + self._former_key.seal(nonce, b"".join(self.former), self._former_binding())

    def renewed(self, random: Random) -> KeyedNode:
        """Return the node with a new key of the next generation, which keeps the earlier keys."""
        if self.generation >= MAX_GENERATION:
            raise NotAllowedError(
                f"This folder has taken {MAX_GENERATION} keys already and can take no other.",
                hint="Move what is in it to a new folder.",
            )
        key, former = NodeKey(random(crypto.KEY_SIZE)), (self.key, *self.former)
        return KeyedNode(self.node, self.generation + 1, key, former, self.names_since)

    def _binding(self, child: NodeId, generation: int) -> bytes:
        return labels.LINK + self.node + child + _GENERATIONS.pack(self.generation, generation)

    def _former_binding(self) -> bytes:
        return labels.FORMER + self.node + _GENERATION.pack(self.generation)


def new_node(random: Random) -> KeyedNode:
    """Return a new node: random id, random key, generation 1."""
    return KeyedNode(NodeId(random(16)), 1, NodeKey(random(crypto.KEY_SIZE)))
