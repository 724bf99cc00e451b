r"""A backup of an identity, sealed under the secret of a recovery phrase and kept by the server.

    secret      = 16 random bytes, shown to the user as words, new for every backup
    signing key = Ed25519 key whose seed is HKDF(secret, "", "fs/2 recovery signing key" ‖ user)
    backup      = "FSBAK1\n" ‖ packed (salt 32, body)
    body        = AES-256-GCM(key, twelve zero bytes, packed portable profile, "")
    key         = HKDF(secret, salt, "fs/2 recovery backup key" ‖ user)

The secret has 128 random bits, so it needs no slow hash. The salt, and therefore the key, is new
for every backup, so the nonce can be zero. The request for the backup is signed with the signing
key, whose public half the server has: a one-time password alone is not enough.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from fsproto import crypto, labels
from fsproto.errors import FsError, IntegrityError
from fsproto.keys.portable import pack_portable, unpack_portable
from fsproto.packing import Record, pack, unpack

if TYPE_CHECKING:
    from fsproto.keys.portable import Portable
    from fsproto.types import Random

MAGIC = b"FSBAK1\n"
SECRET_SIZE = 16
_SALT_SIZE = 32
_NONCE = bytes(crypto.NONCE_SIZE)


class _File(Record, frozen=True):
    salt: bytes
    body: bytes


@dataclass(frozen=True)
class RecoverySecret:
    """The secret of a recovery phrase, for one user."""

    user: str
    secret: bytes = field(repr=False)
    """16 bytes."""

    def __post_init__(self) -> None:
        if len(self.secret) != SECRET_SIZE:
            raise ValueError("a recovery secret has 16 bytes")

    @cached_property
    def signing(self) -> crypto.SigningKey:
        """The key that signs the request for the backup."""
        info = labels.RECOVERY_SIGNING + self.user.encode()
        return crypto.SigningKey(crypto.hkdf(self.secret, salt=b"", info=info))

    def seal(self, portable: Portable, random: Random) -> bytes:
        """Return the backup's bytes."""
        salt = random(_SALT_SIZE)
        body = self._cipher(salt).seal(_NONCE, pack_portable(portable))
        return MAGIC + pack(_File(salt, body))

    def open(self, backup: bytes) -> Portable:
        """Return the profile in a backup; `IntegrityError` for another secret or user.

        The server has verified a signature with this secret, so only the server can cause the
        error.
        """
        try:
            if not backup.startswith(MAGIC):
                raise ValueError("not a backup")
            file = unpack(backup[len(MAGIC) :], _File)
            portable = unpack_portable(self._cipher(file.salt).open(_NONCE, file.body))
            if portable.identity.user != self.user:
                raise ValueError("a backup of another person")
        except (FsError, crypto.CryptoError, ValueError):
            raise IntegrityError(
                "THE SERVER SENT ANOTHER BACKUP: it does not belong to this phrase, or it was "
                "changed.",
                hint="Stop and talk to your administrator: this does not happen by accident.",
            ) from None
        return portable

    def _cipher(self, salt: bytes) -> crypto.Aead:
        info = labels.RECOVERY_KEY + self.user.encode()
        return crypto.Aead(crypto.hkdf(self.secret, salt=salt, info=info))
