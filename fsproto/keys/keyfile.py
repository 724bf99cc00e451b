r"""The file an identity is kept in, sealed under a passphrase where one was set.

    keyfile = "FSKEY1\n" ‖ packed (kdf, check, body)
    kdf     = nothing, or Argon2id's (salt 16, passes, lanes, KiB)
    body    = packed keys; with a passphrase AES-256-GCM of them, the packed kdf authenticated
    check   = with a passphrase the nonce 12; without one SHA-256("fs/1 keyfile" ‖ body), because a
              damaged private key may still load and then fail in ways that give it away

Argon2id's costs are the second recommendation of RFC 9106 section 4: 3 passes, 4 lanes, 64 MiB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsproto import crypto, labels
from fsproto.errors import FsError, IntegrityError, WrongPassphraseError
from fsproto.keys.identity import Identity, verify_bundle
from fsproto.packing import Record, pack, unpack
from fsproto.sealed.signed import Signed

if TYPE_CHECKING:
    from fsproto.types import Random

MAGIC = b"FSKEY1\n"
_PASSES, _LANES, _MEMORY_KIB = 3, 4, 64 * 1024
_MAX_PASSES, _MAX_LANES, _MAX_MEMORY_KIB = 16, 16, 1024 * 1024


class _Kdf(Record, frozen=True):
    salt: bytes
    passes: int
    lanes: int
    memory_kib: int


class _File(Record, frozen=True):
    kdf: _Kdf | None
    check: bytes
    body: bytes


class _Keys(Record, frozen=True):
    user: str
    ed25519: bytes
    rsa: bytes
    kem: bytes
    bundle: Signed


def seal_identity(identity: Identity, passphrase: str | None, random: Random) -> bytes:
    """Return the file's bytes; with `passphrase` None the keys are in them as they are."""
    keys = pack(
        _Keys(
            identity.user,
            identity.signing.seed,
            identity.rsa.der,
            identity.kem.seed,
            identity.bundle.signed,
        )
    )
    if passphrase is None:
        return MAGIC + pack(_File(None, crypto.sha256(labels.KEYFILE, keys), keys))
    kdf = _Kdf(random(16), _PASSES, _LANES, _MEMORY_KIB)
    nonce = random(crypto.NONCE_SIZE)
    sealed = _cipher(kdf, passphrase).seal(nonce, keys, labels.KEYFILE + pack(kdf))
    return MAGIC + pack(_File(kdf, nonce, sealed))


def needs_passphrase(data: bytes) -> bool:
    """Tell whether the file was sealed under a passphrase; `IntegrityError` if it is no keyfile."""
    return _read(data).kdf is not None


def open_identity(data: bytes, passphrase: str | None) -> Identity:
    """Return the identity; `WrongPassphraseError`, or `IntegrityError` for a damaged file."""
    file = _read(data)
    keys = file.body
    if file.kdf is None:
        if not crypto.equal(file.check, crypto.sha256(labels.KEYFILE, keys)):
            raise _damaged()
    else:
        try:
            keys = _cipher(file.kdf, passphrase or "").open(
                file.check, file.body, labels.KEYFILE + pack(file.kdf)
            )
        except (crypto.CryptoError, ValueError):
            raise WrongPassphraseError from None
    try:
        body = unpack(keys, _Keys)
        bundle = verify_bundle(body.bundle, body.user)
        identity = Identity(
            body.user,
            crypto.SigningKey(body.ed25519),
            crypto.RsaKey(body.rsa, intact=True),
            crypto.KemKey(body.kem),
            bundle,
        )
    except (FsError, crypto.CryptoError, ValueError):
        raise _damaged() from None
    public = identity.signing.public, identity.rsa.public, identity.kem.public
    if public != (bundle.body.ed25519, bundle.body.rsa, bundle.body.kem):
        raise _damaged()
    return identity


def _read(data: bytes) -> _File:
    if not data.startswith(MAGIC):
        raise _damaged()
    try:
        file = unpack(data[len(MAGIC) :], _File)
    except FsError:
        raise _damaged() from None
    kdf = file.kdf
    if kdf is not None and not (
        0 < kdf.passes <= _MAX_PASSES
        and 0 < kdf.lanes <= _MAX_LANES
        and 0 < kdf.memory_kib <= _MAX_MEMORY_KIB
    ):
        raise _damaged()
    return file


def _damaged() -> IntegrityError:
    return IntegrityError(
        "The identity file is damaged.", hint="Put it back from a copy, or enrol again."
    )


def _cipher(kdf: _Kdf, passphrase: str) -> crypto.Aead:
    return crypto.Aead(
        crypto.argon2id(
            passphrase.encode(),
            salt=kdf.salt,
            passes=kdf.passes,
            lanes=kdf.lanes,
            memory_kib=kdf.memory_kib,
        )
    )
