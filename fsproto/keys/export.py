r"""An exported profile: one file, sealed under a passphrase, for import on another machine.

    export = "FSEXP1\n" ‖ packed (kdf, nonce 12, body, check)
    body   = AES-256-GCM of a packed portable profile, under the passphrase (see `passphrase`)
    check  = SHA-256("fs/2 export" ‖ packed kdf ‖ nonce ‖ body)

The check distinguishes a damaged file from a wrong passphrase. It does not detect deliberate
changes: AES-GCM does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsproto import crypto, labels
from fsproto.errors import FsError, IntegrityError, WrongPassphraseError
from fsproto.keys.passphrase import Kdf, seal, unseal
from fsproto.keys.portable import pack_portable, unpack_portable
from fsproto.packing import Record, pack, unpack

if TYPE_CHECKING:
    from fsproto.keys.portable import Portable
    from fsproto.types import Random

MAGIC = b"FSEXP1\n"
MAX_EXPORT = 256 << 20
"""Bytes of a whole export; the seen versions of four million files and folders fit."""


class _File(Record, frozen=True):
    kdf: Kdf
    nonce: bytes
    body: bytes
    check: bytes


def seal_export(portable: Portable, passphrase: str, random: Random) -> bytes:
    """Return the file's bytes; `ValueError` for an empty passphrase."""
    if not passphrase:
        raise ValueError("an export needs a passphrase")
    kdf, nonce, body = seal(passphrase, labels.EXPORT, pack_portable(portable), random)
    return MAGIC + pack(_File(kdf, nonce, body, _check(kdf, nonce, body)))


def check_export(data: bytes) -> None:
    """Raise `IntegrityError` if this is not a complete export; needs no passphrase."""
    _read(data)


def open_export(data: bytes, passphrase: str) -> Portable:
    """Return the profile; `WrongPassphraseError`, or `IntegrityError` for a damaged file."""
    file = _read(data)
    try:
        plain = unseal(passphrase, labels.EXPORT, file.kdf, file.nonce, file.body)
    except WrongPassphraseError:
        raise WrongPassphraseError("Wrong passphrase for the exported profile.") from None
    try:
        return unpack_portable(plain)
    except ValueError:
        raise _damaged() from None


def _read(data: bytes) -> _File:
    if not data.startswith(MAGIC) or len(data) > MAX_EXPORT:
        raise IntegrityError(
            "This is not an exported profile.", hint="'fsclient keys export FILE' makes one."
        )
    try:
        file = unpack(data[len(MAGIC) :], _File)
    except FsError:
        raise _damaged() from None
    whole = crypto.equal(file.check, _check(file.kdf, file.nonce, file.body))
    if not whole or not file.kdf.bearable:
        raise _damaged()
    return file


def _check(kdf: Kdf, nonce: bytes, body: bytes) -> bytes:
    return crypto.sha256(labels.EXPORT, pack(kdf), nonce, body)


def _damaged() -> IntegrityError:
    return IntegrityError(
        "The exported profile is damaged.", hint="Copy it again, or export it again."
    )
