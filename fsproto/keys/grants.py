"""Grants: a node key sealed to one person.

A grant is sealed by `wrapping`, with

    info    = "fs/2 wrap to person" ‖ binding
    binding = node 16 ‖ u32 generation ‖ u8 role ‖ the person's name, UTF-8

A person opens their own tree with a root grant: the root's key, sealed to the person and signed by
the person, so that the server cannot replace the tree with another one.
"""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING

from fsproto import crypto, labels
from fsproto.errors import IntegrityError, RemoteProtocolError, SignatureError
from fsproto.keys.tree import KeyedNode
from fsproto.keys.wrapping import open_sealed, seal_to
from fsproto.packing import Record
from fsproto.ranges import Generation, Uint63
from fsproto.signed import Signed, open_signed, sign
from fsproto.types import NO_NODE, NodeId, NodeKey

if TYPE_CHECKING:
    from fsproto.keys.identity import Identity, VerifiedBundle
    from fsproto.types import Random

FORMAT = 1
_BINDING = struct.Struct(">16sIB")


class Role(enum.IntEnum):
    """The rights that a grant gives."""

    OWNER = 1
    READER = 2
    WRITER = 3


class RootGrant(Record, frozen=True):
    """The key of a person's own root, sealed to that person."""

    format: int
    node: NodeId
    generation: Generation
    user: str
    author_key: bytes
    """The person's Ed25519 public key, 32 bytes."""
    sealed: bytes
    time_ms: Uint63


def _info(node: NodeId, generation: int, role: Role, user: str) -> bytes:
    return labels.WRAP + _BINDING.pack(node, generation, role) + user.encode()


def wrap(node: KeyedNode, to: VerifiedBundle, role: Role, random: Random) -> bytes:
    """Seal a node's key to a person whose bundle was verified.

    Raises `RemoteProtocolError` if the bundle has unusable public keys.
    """
    info = _info(node.node, node.generation, role, to.body.user)
    return seal_to(to, info, node.key, random)


def unwrap(sealed: bytes, node: NodeId, generation: int, role: Role, to: Identity) -> KeyedNode:
    """Open a grant; `IntegrityError` if it is not for this person, node, generation and role."""
    try:
        opened = open_sealed(sealed, _info(node, generation, role, to.user), to)
    except crypto.CryptoError:
        raise IntegrityError("A grant was not sealed to this identity.") from None
    return KeyedNode(node, generation, NodeKey(opened))


def grant_root(root: KeyedNode, owner: Identity, time_ms: int, random: Random) -> Signed:
    """Make the root grant of a person's own tree."""
    body = RootGrant(
        FORMAT,
        root.node,
        root.generation,
        owner.user,
        owner.signing.public,
        wrap(root, owner.bundle, Role.OWNER, random),
        time_ms,
    )
    return sign(owner.signing, labels.SIGN_ROOT_GRANT, body)


def open_root_grant(signed: Signed, owner: Identity) -> KeyedNode:
    """Verify and open the owner's root grant; `SecurityError` if it is not valid."""
    body = open_signed(signed, RootGrant, labels.SIGN_ROOT_GRANT, owner.signing.public)
    if body.user != owner.user:
        raise SignatureError("The root belongs to the tree of another person.")
    shapes = body.format == FORMAT and len(body.node) == len(NO_NODE)
    if not shapes or not 0 <= body.generation < 1 << 32:
        raise RemoteProtocolError("The grant of your tree is malformed.")
    return unwrap(body.sealed, body.node, body.generation, Role.OWNER, owner)
