"""The key tree: node keys, and the links from a folder to its children.

A node key is 32 random bytes. A separate key is derived from it for each purpose:

    link key, name key, metadata key, former key = HKDF-Expand(node key, "fs/2 node … key", 32)
    token  = HMAC-SHA256(name key of the folder, name in NFC, UTF-8)
    link   = nonce 12 ‖ AES-256-GCM(link key of the parent, node key of the child,
             associated data = "fs/2 link" ‖ parent ‖ child ‖ u32 generation of the parent's key
                               ‖ u32 generation of the child's key)
    former = nonce 12 ‖ AES-256-GCM(former key of the node, its keys before this one, the newest
             first, associated data = "fs/2 former keys" ‖ node ‖ u32 generation)

The manifest of a node commits to its key and to all earlier keys, so that all readers of the node
have the same keys:

    key commitment(g)        = HKDF-Expand(node key g, "fs/2 node key commitment" ‖ node
                                           ‖ u32 g, 32)
    former commitment(1)     = 32 zero bytes
    former commitment(g + 1) = SHA-256("fs/2 former commitment" ‖ former commitment(g)
                                       ‖ key commitment(g))

When a node loses a reader, it gets a key of the next generation. The new key opens the earlier
ones, so that the nodes below need not change at once: a link that was sealed under an older
generation still opens, and marks the child as due for a new key.

Nonces are random: a folder's key seals one link per new or moved child, and one list of former keys
per generation, far fewer than 2^32. Compare Grolimund et al., "Cryptree" (SRDS 2006).
"""

from __future__ import annotations

import struct
from functools import cached_property
from typing import TYPE_CHECKING

from fsproto import crypto, labels
from fsproto.errors import IntegrityError, NotAllowedError
from fsproto.limits import MAX_GENERATION
from fsproto.names import canonical_name
from fsproto.types import NO_HASH, Hash, NodeId, NodeKey, Token
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
    def key_commitment(self) -> Hash:
        """The commitment of the manifest to the current key (32 bytes)."""
        info = labels.NODE_KEY_COMMITMENT + self.node + _GENERATION.pack(self.generation)
        return Hash(crypto.hkdf_expand(self.key, info))

    @cached_property
    def former_commitment(self) -> Hash:
        """The commitment of the manifest to the former keys (32 bytes)."""
        commitment = NO_HASH
        for generation in range(1, self.generation):
            commitment = next_commitment(commitment, self.at(generation).key_commitment)
        return commitment

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
            raise IntegrityError(
                "A file or folder was sealed under a key that its folder never had."
            )
        return found

    def token(self, name: str) -> Token:
        """Return the token by which the server looks up `name` under the current key."""
        return Token(crypto.hmac_sha256(self._name_key, canonical_name(name).encode()))

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
        key = self.open_key(manifest)
        return KeyedNode(manifest.node, manifest.generation, key).with_former(manifest)

    def open_key(self, manifest: Manifest) -> NodeKey:
        """Return the child's key alone; `IntegrityError` if the link is not of this folder."""
        try:
            if manifest.parent != self.node:
                raise crypto.CryptoError("a link of another folder")
            return NodeKey(self.at(manifest.link_generation).unlink(manifest))
        except (crypto.CryptoError, ValueError, IntegrityError):
            raise IntegrityError(
                "A file or folder was moved here by a person without the folder's key."
            ) from None

    def unlink(self, manifest: Manifest) -> bytes:
        """Open a link that was sealed under exactly this key; `CryptoError` if it was not."""
        link, binding = manifest.link, self._binding(manifest.node, manifest.generation)
        return self._link.open(link[: crypto.NONCE_SIZE], link[crypto.NONCE_SIZE :], binding)

    def with_former(self, manifest: Manifest) -> KeyedNode:
        """Return this node with its former keys, opened from its manifest."""
        if self.generation == 1:
            return self._committed(manifest)
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
            raise IntegrityError("Former keys of a file or folder are missing.")
        found = KeyedNode(self.node, self.generation, self.key, keys, manifest.names_since)
        return found._committed(manifest)

    def _committed(self, manifest: Manifest) -> KeyedNode:
        """Return this node; `IntegrityError` if its manifest commits to other keys."""
        said = manifest.key_commitment + manifest.former_commitment
        if manifest.former and self.generation == 1:
            raise IntegrityError("A file or folder has former keys, but never had another key.")
        if not crypto.equal(self.key_commitment + self.former_commitment, said):
            raise IntegrityError(
                f"The keys that {manifest.author} gave to a file or folder are not its keys."
            )
        return self

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


def next_commitment(former: Hash, key: Hash) -> Hash:
    """Return the former commitment of the generation after the one with these commitments."""
    return Hash(crypto.sha256(labels.FORMER_COMMITMENT, former, key))


def new_node(random: Random) -> KeyedNode:
    """Return a new node: random id, random key, generation 1."""
    return KeyedNode(NodeId(random(16)), 1, NodeKey(random(crypto.KEY_SIZE)))
