r"""An exported profile: one file, sealed under a passphrase, for import on another machine.

    export = "FSEXP1\n" ‖ packed (kdf, nonce 12, body, check)
    body   = AES-256-GCM of a packed portable profile, under the passphrase (see `passphrase`)
    check  = SHA-256("fs/2 export" ‖ packed kdf ‖ nonce ‖ body)

The check distinguishes a damaged file from a wrong passphrase. It does not detect deliberate
changes: AES-GCM does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsproto import labels
from fsproto.keys.portable import pack_portable, unpack_portable
from fsproto.keys.sealed_file import SealedFile

if TYPE_CHECKING:
    from fsproto.keys.portable import Portable
    from fsproto.types import Random

MAGIC = b"FSEXP1\n"
MAX_EXPORT = 256 << 20
"""Bytes of a whole export; the seen versions of four million files and folders fit."""


_EXPORT = SealedFile(
    MAGIC, labels.EXPORT, MAX_EXPORT, "exported profile", "fsclient keys export FILE"
)


def seal_export(portable: Portable, passphrase: str, random: Random) -> bytes:
    """Return the file's bytes; `ValueError` for an empty passphrase."""
    if not passphrase:
        raise ValueError("an export needs a passphrase")
    return _EXPORT.seal(pack_portable(portable), passphrase, random)


def check_export(data: bytes) -> None:
    """Raise `IntegrityError` if this is not a complete export; needs no passphrase."""
    _EXPORT.check(data)


def open_export(data: bytes, passphrase: str) -> Portable:
    """Return the profile; `WrongPassphraseError`, or `IntegrityError` for a damaged file."""
    plain = _EXPORT.open(data, passphrase)
    try:
        return unpack_portable(plain)
    except ValueError:
        raise _EXPORT.damaged() from None
