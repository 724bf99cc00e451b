r"""The keyfile: a file with an identity, sealed under a passphrase if one is set.

    keyfile = "FSKEY1\n" ‖ packed (kdf, check, body)
    kdf     = nil, or the Argon2id parameters (see `passphrase`)
    body    = packed keys; with a passphrase AES-256-GCM of them, the packed kdf authenticated
    check   = with a passphrase the nonce 12; without one SHA-256("fs/2 keyfile" ‖ body)

A keyfile without a passphrase has a checksum because a damaged private key may still load, and its
wrong results may then reveal the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsproto import crypto, labels
from fsproto.errors import FsError, IntegrityError
from fsproto.keys.passphrase import Kdf, seal, unseal
from fsproto.keys.private import pack_identity, unpack_identity
from fsproto.packing import Record, pack, unpack

if TYPE_CHECKING:
    from fsproto.keys.identity import Identity
    from fsproto.types import Random

MAGIC = b"FSKEY1\n"


class _File(Record, frozen=True):
    kdf: Kdf | None
    check: bytes
    body: bytes


def seal_identity(identity: Identity, passphrase: str | None, random: Random) -> bytes:
    """Return the file's bytes; if `passphrase` is None, they contain the keys in plaintext."""
    keys = pack_identity(identity)
    if passphrase is None:
        return MAGIC + pack(_File(None, crypto.sha256(labels.KEYFILE, keys), keys))
    return MAGIC + pack(_File(*seal(passphrase, labels.KEYFILE, keys, random)))


def needs_passphrase(data: bytes) -> bool:
    """Return whether the file is sealed under a passphrase; `IntegrityError` for no keyfile."""
    return _read(data).kdf is not None


def open_identity(data: bytes, passphrase: str | None) -> Identity:
    """Return the identity; `WrongPassphraseError`, or `IntegrityError` for a damaged file."""
    file = _read(data)
    keys = file.body
    if file.kdf is not None:
        keys = unseal(passphrase or "", labels.KEYFILE, file.kdf, file.check, keys)
    elif not crypto.equal(file.check, crypto.sha256(labels.KEYFILE, keys)):
        raise _damaged()
    try:
        return unpack_identity(keys)
    except ValueError:
        raise _damaged() from None


def _read(data: bytes) -> _File:
    if not data.startswith(MAGIC):
        raise _damaged()
    try:
        file = unpack(data[len(MAGIC) :], _File)
    except FsError:
        raise _damaged() from None
    if file.kdf is not None and not file.kdf.bearable:
        raise _damaged()
    return file


def _damaged() -> IntegrityError:
    return IntegrityError(
        "The identity file is damaged.", hint="Put it back from a copy, or enrol again."
    )
