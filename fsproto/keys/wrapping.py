"""Sealing a secret to one person: to their RSA-3072 and their ML-KEM-768 key together.

    sealed = RSA-OAEP(secret 32) 384 ‖ ML-KEM ciphertext 1088 ‖ AES-256-GCM(key, what is sealed)
    key    = HKDF-SHA256(ikm = RSA secret ‖ ML-KEM secret, salt = hash of the person's bundle,
             info = a label ‖ what it is bound to, 32)

The key is fresh each time, so its one nonce is 12 zero bytes. Opening needs both private keys: a
quantum computer alone, or a flaw in ML-KEM alone, does not open it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsproto import crypto
from fsproto.errors import RemoteProtocolError
from fsproto.limits import RSA_CIPHERTEXT

if TYPE_CHECKING:
    from fsproto.keys.identity import Identity, VerifiedBundle
    from fsproto.types import Random

OVERHEAD = RSA_CIPHERTEXT + crypto.KEM_CIPHERTEXT_SIZE + crypto.TAG_SIZE
"""By how many bytes what is sealed is longer."""
_NONCE = bytes(crypto.NONCE_SIZE)


def seal_to(to: VerifiedBundle, info: bytes, what: bytes, random: Random) -> bytes:
    """Seal something small to a person whose bundle was verified.

    `info` says what for, beginning with a label of its own. Raises `RemoteProtocolError` if what
    the bundle signs are no usable public keys.
    """
    secret = random(crypto.KEY_SIZE)
    try:
        shared, ciphertext = crypto.kem_encapsulate(to.body.kem)
        sealed = crypto.rsa_seal(to.body.rsa, secret)
    except crypto.CryptoError as error:
        raise RemoteProtocolError(f"Public keys of a person are no good: {error}.") from None
    key = crypto.hkdf(secret + shared, salt=to.hash, info=info)
    return sealed + ciphertext + crypto.Aead(key).seal(_NONCE, what)


def open_sealed(sealed: bytes, info: bytes, to: Identity) -> bytes:
    """Open what was sealed to just these keys, for just this; `CryptoError` for anything else."""
    kem_end = RSA_CIPHERTEXT + crypto.KEM_CIPHERTEXT_SIZE
    secret = to.rsa.open(sealed[:RSA_CIPHERTEXT])
    shared = to.kem.decapsulate(sealed[RSA_CIPHERTEXT:kem_end])
    key = crypto.hkdf(secret + shared, salt=to.bundle.hash, info=info)
    return crypto.Aead(key).open(_NONCE, sealed[kem_end:])
