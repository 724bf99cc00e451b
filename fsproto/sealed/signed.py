"""Signed payloads: what is signed are the very bytes that travel and are stored.

    signature = Ed25519(author's key, label ‖ payload)
    hash      = SHA-256(label of the hash ‖ payload)

Nothing is ever encoded again in order to verify it.
"""

from __future__ import annotations

from typing import TypeVar

from fsproto import crypto
from fsproto.errors import SignatureError
from fsproto.packing import Record, pack, unpack
from fsproto.types import Hash

R = TypeVar("R", bound=Record)


class Signed(Record, frozen=True):
    """A payload and its 64-byte Ed25519 signature."""

    payload: bytes
    signature: bytes


def sign(key: crypto.SigningKey, label: bytes, body: Record) -> Signed:
    """Pack `body` and sign it under `label`."""
    payload = pack(body)
    return Signed(payload, key.sign(label, payload))


def open_signed(signed: Signed, kind: type[R], label: bytes, public: bytes) -> R:
    """Verify, then read; `SignatureError` unless `public` signed this payload under `label`."""
    try:
        crypto.verify(public, signed.signature, label, signed.payload)
    except crypto.CryptoError:
        raise SignatureError(
            f"The signature on a {kind.__name__} from the server does not verify."
        ) from None
    return unpack(signed.payload, kind)


def payload_hash(label: bytes, payload: bytes) -> Hash:
    """Return the hash by which others refer to a signed payload."""
    return Hash(crypto.sha256(label, payload))
