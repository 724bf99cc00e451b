"""Sealing under a passphrase: Argon2id and AES-256-GCM, for keyfiles and exports.

    kdf    = (salt 16, passes, lanes, KiB)
    sealed = AES-256-GCM(Argon2id(passphrase, kdf), nonce, plaintext, ad = label ‖ packed kdf)

Sealing uses the second recommendation of RFC 9106 section 4: 3 passes, 4 lanes, 64 MiB. Salt and
nonce are new random bytes for every sealing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsproto import crypto
from fsproto.errors import WrongPassphraseError
from fsproto.packing import Record, pack

if TYPE_CHECKING:
    from fsproto.types import Random

_PASSES, _LANES, _MEMORY_KIB = 3, 4, 64 * 1024
_MAX_PASSES, _MAX_LANES, _MAX_MEMORY_KIB = 16, 16, 1024 * 1024


class Kdf(Record, frozen=True):
    """The Argon2id parameters that derive a key from a passphrase."""

    salt: bytes
    passes: int
    lanes: int
    memory_kib: int

    @property
    def bearable(self) -> bool:
        """Whether the cost is low enough for a reader to accept."""
        return (
            0 < self.passes <= _MAX_PASSES
            and 0 < self.lanes <= _MAX_LANES
            and 0 < self.memory_kib <= _MAX_MEMORY_KIB
        )


def seal(
    passphrase: str, label: bytes, plaintext: bytes, random: Random
) -> tuple[Kdf, bytes, bytes]:
    """Return the KDF parameters, the nonce (12 bytes), and the sealed bytes."""
    kdf = Kdf(random(16), _PASSES, _LANES, _MEMORY_KIB)
    nonce = random(crypto.NONCE_SIZE)
    cipher = crypto.Aead(_derived(passphrase, kdf))
    return kdf, nonce, cipher.seal(nonce, plaintext, label + pack(kdf))


def unseal(passphrase: str, label: bytes, kdf: Kdf, nonce: bytes, sealed: bytes) -> bytes:
    """Return the plaintext; `WrongPassphraseError` if it cannot be opened."""
    return unseal_with(derive(passphrase, kdf), label, kdf, nonce, sealed)


def derive(passphrase: str, kdf: Kdf) -> bytes:
    """Return the key (32 bytes) of a passphrase; `WrongPassphraseError` if it has none."""
    try:
        return _derived(passphrase, kdf)
    except (crypto.CryptoError, ValueError):
        raise WrongPassphraseError from None


def unseal_with(key: bytes, label: bytes, kdf: Kdf, nonce: bytes, sealed: bytes) -> bytes:
    """Return the plaintext; `WrongPassphraseError` if `key` (of `derive`) does not open it."""
    try:
        return crypto.Aead(key).open(nonce, sealed, label + pack(kdf))
    except (crypto.CryptoError, ValueError):
        raise WrongPassphraseError from None


def _derived(passphrase: str, kdf: Kdf) -> bytes:
    return crypto.argon2id(
        passphrase.encode(),
        salt=kdf.salt,
        passes=kdf.passes,
        lanes=kdf.lanes,
        memory_kib=kdf.memory_kib,
    )
