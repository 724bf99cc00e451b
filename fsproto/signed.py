"""Signed payloads: the signature covers exactly the bytes that are sent and stored.

    signature = Ed25519(author's key, label ‖ payload)
    hash      = SHA-256(label of the hash ‖ payload)

Verification never encodes a payload again. Many payloads can be signed at once, by one signature
over the root of their Merkle tree; each signed payload then contains its inclusion path to that
root:

    signature = Ed25519(author's key, label of many ‖ u32 count ‖ root) 64
                ‖ u32 index ‖ u32 count ‖ inclusion path, 32 bytes a level

An Ed25519 signature costs as much as some hundred hashes; in a tree of 64 payloads, each payload
costs about a dozen hashes, at both ends.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeVar

from fsproto import crypto
from fsproto.errors import SignatureError
from fsproto.packing import Record, pack, unpack
from fsproto.proofs import merkle
from fsproto.types import Hash

if TYPE_CHECKING:
    from collections.abc import Sequence

R = TypeVar("R", bound=Record)

SIGNED_AT_ONCE = 64
"""Payloads under one signature; more would only make each inclusion path longer."""
_PLACE = struct.Struct(">II")
_COUNT = struct.Struct(">I")
_PATH = crypto.SIGNATURE_SIZE + _PLACE.size


class Signed(Record, frozen=True):
    """A payload and its signature: 64 bytes, or more for one of many."""

    payload: bytes
    signature: bytes


def sign(key: crypto.SigningKey, label: bytes, body: Record) -> Signed:
    """Pack `body` and sign it under `label`."""
    payload = pack(body)
    return Signed(payload, key.sign(label, payload))


def sign_many(
    key: crypto.SigningKey, label: bytes, label_of_many: bytes, payloads: Sequence[bytes]
) -> list[Signed]:
    """Sign packed payloads with as few signatures as possible."""
    signed: list[Signed] = []
    for at in range(0, len(payloads), SIGNED_AT_ONCE):
        some = payloads[at : at + SIGNED_AT_ONCE]
        if len(some) == 1:
            signed.append(Signed(some[0], key.sign(label, some[0])))
            continue
        root, paths = merkle.root_and_paths([merkle.leaf_hash(payload) for payload in some])
        signature = key.sign(label_of_many, _COUNT.pack(len(some)), root)
        signed += [
            Signed(payload, signature + _PLACE.pack(index, len(some)) + path)
            for index, (payload, path) in enumerate(zip(some, paths, strict=True))
        ]
    return signed


class Verifier:
    """A verifier for one key; it checks a signature over many payloads only once."""

    def __init__(self, public: bytes) -> None:
        """Take the Ed25519 public key, 32 bytes."""
        self.public = public
        self._good: set[bytes] = set()

    def verify(self, signed: Signed, label: bytes, label_of_many: bytes) -> None:
        """Raise `CryptoError` unless the key has signed this payload, alone or with many."""
        if len(signed.signature) == crypto.SIGNATURE_SIZE:
            crypto.verify(self.public, signed.signature, label, signed.payload)
            return
        if len(signed.signature) < _PATH:
            raise crypto.CryptoError("no signature has this length")
        index, count = _PLACE.unpack_from(signed.signature, crypto.SIGNATURE_SIZE)
        leaf = merkle.leaf_hash(signed.payload)
        root = merkle.root_of_path(leaf, index, count, signed.signature[_PATH:])
        if root is None:
            raise crypto.CryptoError("a path that leads nowhere")
        signature = signed.signature[: crypto.SIGNATURE_SIZE]
        claim = signature + _COUNT.pack(count) + root
        if claim not in self._good:
            crypto.verify(self.public, signature, label_of_many, claim[crypto.SIGNATURE_SIZE :])
            self._good.add(claim)


def open_signed(signed: Signed, kind: type[R], label: bytes, public: bytes) -> R:
    """Verify, then read; `SignatureError` unless `public` signed this payload under `label`."""
    try:
        crypto.verify(public, signed.signature, label, signed.payload)
    except crypto.CryptoError:
        raise SignatureError(f"The signature on a {kind.__name__} does not verify.") from None
    return unpack(signed.payload, kind)


def payload_hash(label: bytes, payload: bytes) -> Hash:
    """Return the hash by which other payloads refer to this one."""
    return Hash(crypto.sha256(label, payload))
