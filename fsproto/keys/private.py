"""The packed form of private keys, used in keyfiles, exports and backups.

    keys = packed (user, Ed25519 seed 32, RSA-3072 PKCS #8 DER, ML-KEM seed 64, signed bundle,
           the former keys, the newest first, packed the same way)

The packed form is plaintext. It is always sealed, except in a keyfile without a passphrase.
"""

from __future__ import annotations

from fsproto import crypto
from fsproto.errors import FsError
from fsproto.keys.identity import Identity, verify_bundle
from fsproto.packing import Record, pack, unpack
from fsproto.signed import Signed


class _Keys(Record, frozen=True):
    user: str
    ed25519: bytes
    rsa: bytes
    kem: bytes
    bundle: Signed
    former: list[bytes]


def pack_identity(identity: Identity) -> bytes:
    """Return the whole identity as plaintext bytes; the caller seals them."""
    return pack(
        _Keys(
            identity.user,
            identity.signing.seed,
            identity.rsa.der,
            identity.kem.seed,
            identity.bundle.signed,
            [pack_identity(former) for former in identity.former],
        )
    )


def unpack_identity(keys: bytes) -> Identity:
    """Return the identity; `ValueError` if the bytes are not one whose keys fit its bundle.

    The caller must have verified that the bytes are unchanged: a damaged private key may still
    load, and its wrong results may then reveal the key.
    """
    try:
        body = unpack(keys, _Keys)
        bundle = verify_bundle(body.bundle, body.user)
        identity = Identity(
            body.user,
            crypto.SigningKey(body.ed25519),
            crypto.RsaKey(body.rsa, intact=True),
            crypto.KemKey(body.kem),
            bundle,
            tuple(unpack_identity(former) for former in body.former),
        )
    except (FsError, crypto.CryptoError):
        raise ValueError("not an identity") from None
    public = identity.signing.public, identity.rsa.public, identity.kem.public
    if public != (bundle.body.ed25519, bundle.body.rsa, bundle.body.kem):
        raise ValueError("the keys are not those of the bundle")
    if any(former.user != identity.user for former in identity.former):
        raise ValueError("former keys of another person")
    return identity
