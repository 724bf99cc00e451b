"""Heads: signed statements about the whole key log at one size, by the log's own key.

    Head     = [format 1, key, size, root, time_ms]
    root     = Merkle tree hash over the entries (RFC 9162 section 2.1.1)
    log_head = u64 size ‖ root, as included in signed lists, states and manifests

The log's key is Ed25519. The server generates it together with its data directory. A client pins it
with the first head that it sees. The signature commits the server: two different heads of the same
size prove a fork, and any third party can verify that proof.
"""

from __future__ import annotations

import struct

from fsproto import crypto, labels
from fsproto.errors import RemoteProtocolError, SignatureError
from fsproto.packing import Record, unpack
from fsproto.ranges import Uint63
from fsproto.signed import Signed, open_signed, sign
from fsproto.types import Hash
from fsproto.values import Value

FORMAT = 1
_SIZE = struct.Struct(">Q")


class KeyLogHead(Record, frozen=True):
    """The key log at one size."""

    format: int
    key: bytes
    """The log's Ed25519 public key, 32 bytes."""
    size: Uint63
    """The number of entries."""
    root: Hash
    time_ms: Uint63


class VerifiedHead(Value, frozen=True):
    """A head whose signature was checked; made only by `verify_head`."""

    body: KeyLogHead
    signed: Signed


def sign_head(key: crypto.SigningKey, size: int, root: Hash, time_ms: int) -> Signed:
    """Sign the head of the log at one size."""
    return sign(key, labels.SIGN_LOG_HEAD, KeyLogHead(FORMAT, key.public, size, root, time_ms))


def verify_head(signed: Signed, pinned: bytes | None) -> VerifiedHead:
    """Check a head; `SignatureError` unless the pinned key has signed it.

    With nothing pinned (None), the key in the head itself is trusted; the caller must pin it.
    """
    claimed = unpack(signed.payload, KeyLogHead)
    if pinned is not None and claimed.key != pinned:
        raise SignatureError("THE SERVER'S KEY LOG HAS ANOTHER KEY than the one seen before.")
    body = open_signed(signed, KeyLogHead, labels.SIGN_LOG_HEAD, claimed.key)
    if body.format != FORMAT or len(body.root) != crypto.HASH_SIZE or not 0 <= body.size < 1 << 63:
        raise RemoteProtocolError("A head of the key log is malformed.")
    return VerifiedHead(body, signed)


def pack_log_head(size: int, root: Hash) -> bytes:
    """Return the reference to a head in signed payloads (40 bytes); empty for an empty log."""
    return _SIZE.pack(size) + root if size else b""


def unpack_log_head(packed: bytes) -> tuple[int, Hash] | None:
    """Return the size and root that an author had seen; None for an author who saw no log."""
    if not packed:
        return None
    if len(packed) != _SIZE.size + crypto.HASH_SIZE:
        raise RemoteProtocolError("A signed head of the key log is malformed.")
    return _SIZE.unpack_from(packed)[0], Hash(packed[_SIZE.size :])
