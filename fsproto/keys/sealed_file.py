"""Files that are sealed under a passphrase: exported profiles, exported nodes.

    file  = magic ‖ packed [kdf, nonce 12, body, check 32]
    check = SHA-256(label ‖ packed kdf ‖ nonce ‖ body)

The check distinguishes a damaged file from a wrong passphrase; AES-GCM detects deliberate changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsproto import crypto
from fsproto.errors import FsError, IntegrityError, WrongPassphraseError
from fsproto.keys.passphrase import Kdf, seal, unseal
from fsproto.packing import Record, pack, unpack
from fsproto.values import Value

if TYPE_CHECKING:
    from fsproto.types import Random


class _File(Record, frozen=True):
    kdf: Kdf
    nonce: bytes
    body: bytes
    check: bytes


class SealedFile(Value, frozen=True):
    """One kind of file."""

    magic: bytes
    label: bytes
    most: int
    """The largest file in bytes."""
    name: str
    """As errors name it, for example `exported profile`."""
    command: str
    """The command that makes such a file."""

    def seal(self, plain: bytes, passphrase: str, random: Random) -> bytes:
        """Return the bytes of a file."""
        kdf, nonce, body = seal(passphrase, self.label, plain, random)
        return self.magic + pack(_File(kdf, nonce, body, self._hash(kdf, nonce, body)))

    def check(self, data: bytes) -> None:
        """Raise `IntegrityError` if this is not a complete file; needs no passphrase."""
        self._read(data)

    def open(self, data: bytes, passphrase: str) -> bytes:
        """Return the content; `WrongPassphraseError`, or `IntegrityError` for a damaged file."""
        file = self._read(data)
        try:
            return unseal(passphrase, self.label, file.kdf, file.nonce, file.body)
        except WrongPassphraseError:
            raise WrongPassphraseError(f"Wrong passphrase for the {self.name}.") from None

    def damaged(self) -> IntegrityError:
        """Return the error for a damaged file."""
        return IntegrityError(
            f"The {self.name} is damaged.", hint="Copy it again, or export it again."
        )

    def _read(self, data: bytes) -> _File:
        if not data.startswith(self.magic) or len(data) > self.most:
            raise IntegrityError(
                f"This is not an {self.name}.", hint=f"'{self.command}' makes one."
            )
        try:
            file = unpack(data[len(self.magic) :], _File)
        except FsError:
            raise self.damaged() from None
        whole = crypto.equal(file.check, self._hash(file.kdf, file.nonce, file.body))
        if not whole or not file.kdf.bearable:
            raise self.damaged()
        return file

    def _hash(self, kdf: Kdf, nonce: bytes, body: bytes) -> bytes:
        return crypto.sha256(self.label, pack(kdf), nonce, body)
