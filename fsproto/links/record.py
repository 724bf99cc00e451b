"""The owner's record of a public link, by which the owner's devices show what the link opens.

    record = nonce 12 ‖ AES-256-GCM(record key, u16 length ‖ packed ‖ zeros,
             associated data = "fs/2 public link record" ‖ link id ‖ node)

The record key follows from the key of the owner's root node, which no member and no server has. So
the server can neither read a record nor make one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fsproto import crypto, labels
from fsproto.errors import IntegrityError
from fsproto.packing import Record, pack, unpack
from fsproto.sealed.padding import fill, unfill

if TYPE_CHECKING:
    from fsproto.keys.tree import KeyedNode
    from fsproto.types import LinkId, NodeId, Random


class LinkRecord(Record, frozen=True):
    """What a public link opens, for its owner."""

    format: Literal[1]
    path: str
    """The path of the linked node when the link was made."""
    name: str
    """The name that receivers see."""


def seal_record(
    root: KeyedNode, link: LinkId, node: NodeId, record: LinkRecord, random: Random
) -> bytes:
    """Seal a record under the current key of the owner's root node."""
    filled = fill(pack(record))
    nonce = random(crypto.NONCE_SIZE)
    return nonce + _cipher(root).seal(nonce, filled, labels.PUBLIC_LINK_RECORD + link + node)


def open_record(
    root: KeyedNode, generation: int, link: LinkId, node: NodeId, sealed: bytes
) -> LinkRecord:
    """Open a record; `IntegrityError` if it is not the owner's record of this link and node.

    `generation` is that of the root's key with which the record was sealed.
    """
    nonce, rest = sealed[: crypto.NONCE_SIZE], sealed[crypto.NONCE_SIZE :]
    binding = labels.PUBLIC_LINK_RECORD + link + node
    try:
        filled = _cipher(root.at(generation)).open(nonce, rest, binding)
    except (crypto.CryptoError, ValueError):
        raise _not_ours() from None
    packed = unfill(filled)
    if packed is None:
        raise _not_ours()
    return unpack(packed, LinkRecord)


def _cipher(root: KeyedNode) -> crypto.Aead:
    return crypto.Aead(crypto.hkdf_expand(root.key, labels.NODE_PUBLIC_LINK_KEY))


def _not_ours() -> IntegrityError:
    return IntegrityError("A link in the server's list was not made by you, or was changed.")
