"""Sealing a secret to one person: to the RSA-3072 and the ML-KEM-768 key together.

    sealed = RSA-OAEP(secret 32) 384 ‖ ML-KEM ciphertext 1088 ‖ AES-256-GCM(key, what is sealed)
    key    = HKDF-SHA256(ikm = RSA secret ‖ ML-KEM secret, salt = hash of the person's bundle,
             info = a label ‖ what it is bound to, 32)

The key is new for every sealing and is used once, so the nonce can be 12 zero bytes. To open it,
both private keys are needed: a quantum computer alone, or a flaw in ML-KEM alone, is not enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsproto import crypto
from fsproto.errors import RemoteProtocolError
from fsproto.limits import RSA_CIPHERTEXT

if TYPE_CHECKING:
    from fsproto.keys.identity import Identity, NamedBundle, VerifiedBundle
    from fsproto.types import Random

OVERHEAD = RSA_CIPHERTEXT + crypto.KEM_CIPHERTEXT_SIZE + crypto.TAG_SIZE
"""How many bytes longer the sealed form is than the plaintext."""
_NONCE = bytes(crypto.NONCE_SIZE)


def seal_to(to: VerifiedBundle | NamedBundle, info: bytes, what: bytes, random: Random) -> bytes:
    """Seal a short secret to a person whose bundle was verified, or named by a trusted hash.

    `info` binds it to its purpose and starts with a label of its own. Raises `RemoteProtocolError`
    if the bundle has unusable public keys.
    """
    secret = random(crypto.KEY_SIZE)
    try:
        shared, ciphertext = crypto.kem_encapsulate(to.body.kem)
        sealed = crypto.rsa_seal(to.body.rsa, secret)
    except crypto.CryptoError as error:
        raise RemoteProtocolError(f"Public keys of a person are unusable: {error}.") from None
    key = crypto.hkdf(secret + shared, salt=to.hash, info=info)
    return sealed + ciphertext + crypto.Aead(key).seal(_NONCE, what)


def open_sealed(sealed: bytes, info: bytes, to: Identity) -> bytes:
    """Open a secret sealed to these keys with this `info`; `CryptoError` for any other."""
    kem_end = RSA_CIPHERTEXT + crypto.KEM_CIPHERTEXT_SIZE
    secret = to.rsa.open(sealed[:RSA_CIPHERTEXT])
    shared = to.kem.decapsulate(sealed[RSA_CIPHERTEXT:kem_end])
    key = crypto.hkdf(secret + shared, salt=to.bundle.hash, info=info)
    return crypto.Aead(key).open(_NONCE, sealed[kem_end:])
