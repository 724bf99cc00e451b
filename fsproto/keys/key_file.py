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
from fsproto.keys.passphrase import Kdf, derive, seal, unseal_with
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
    if file.kdf is not None:
        return open_with_key(data, derive(passphrase or "", file.kdf))
    if not crypto.equal(file.check, crypto.sha256(labels.KEYFILE, file.body)):
        raise _damaged()
    return _unpacked(file.body)


def key_of(data: bytes, passphrase: str) -> bytes:
    """Return the key (32 bytes) of a passphrase for this sealed file; it may not open the file.

    `WrongPassphraseError` if the passphrase has no key, `IntegrityError` for no sealed keyfile.
    """
    file = _read(data)
    if file.kdf is None:
        raise _damaged()
    return derive(passphrase, file.kdf)


def open_with_key(data: bytes, key: bytes) -> Identity:
    """Return the identity in a sealed file, by the key of its passphrase (see `key_of`).

    `WrongPassphraseError` if the key does not open it, or `IntegrityError` for a damaged file.
    """
    file = _read(data)
    if file.kdf is None:
        raise _damaged()
    return _unpacked(unseal_with(key, labels.KEYFILE, file.kdf, file.check, file.body))


def _unpacked(keys: bytes) -> Identity:
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
        "The identity file is damaged.", hint="Restore it from a copy, or enrol again."
    )
