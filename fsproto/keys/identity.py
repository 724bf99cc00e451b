"""Identities: a person's private keys, and the bundle of the public ones.

A bundle contains the name, an Ed25519 key to verify signatures, and an RSA-3072 and an ML-KEM-768
key to seal to. It is signed by its own Ed25519 key.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fsproto import crypto, labels
from fsproto.errors import IntegrityError, RemoteProtocolError, SignatureError
from fsproto.names import clean_user, is_user
from fsproto.packing import Record, unpack
from fsproto.ranges import Uint63, Version
from fsproto.signed import Signed, open_signed, payload_hash, sign
from fsproto.values import Value

if TYPE_CHECKING:
    from fsproto.types import Hash, Random

FORMAT = 1


class Bundle(Record, frozen=True):
    """The public half of an identity."""

    format: int
    user: str
    version: Version
    """1 for a person's first keys, and one more after each key rotation."""
    ed25519: bytes
    rsa: bytes
    """SPKI DER, RSA-3072."""
    kem: bytes
    """ML-KEM-768 encapsulation key, 1,184 bytes."""
    time_ms: Uint63


class VerifiedBundle(Value, frozen=True):
    """A bundle with a verified signature by its own key; made by `verify_bundle` and `Identity`."""

    body: Bundle
    signed: Signed

    @property
    def hash(self) -> Hash:
        """The hash (32 bytes) that identifies exactly these keys."""
        return payload_hash(labels.HASH_BUNDLE, self.signed.payload)

    @property
    def fingerprint(self) -> str:
        """The fingerprint that people compare: `SHA256:` and base64, over the whole bundle."""
        return crypto.fingerprint(self.signed.payload)


def verify_bundle(signed: Signed, user: str) -> VerifiedBundle:
    """Check that `signed` is a bundle of `user`, signed by its own Ed25519 key.

    Raises `SignatureError`, or `RemoteProtocolError` if a key in it is not usable: one person with
    such keys must not be able to stop what others do together. This alone does not prove that the
    keys belong to that person: anyone can generate keys and sign them.
    """
    claimed = unpack(signed.payload, Bundle)
    body = open_signed(signed, Bundle, labels.SIGN_BUNDLE, claimed.ed25519)
    if body.user != user:
        raise SignatureError("The public keys belong to another user than the requested one.")
    _check_usable(body)
    return VerifiedBundle(body, signed)


class NamedBundle(Value, frozen=True):
    """A bundle that a trusted hash names, as that of a request link; made by `named_bundle`."""

    body: Bundle
    hash: Hash


def named_bundle(payload: bytes, named: Hash) -> NamedBundle:
    """Check that a payload is the bundle with this hash, and that its keys are usable.

    `IntegrityError` for another one. No signature is needed: the hash stands for the whole payload.
    """
    if not crypto.equal(payload_hash(labels.HASH_BUNDLE, payload), named):
        raise IntegrityError("The server sent other public keys than the URL names.")
    body = unpack(payload, Bundle)
    _check_usable(body)
    return NamedBundle(body, named)


def _check_usable(body: Bundle) -> None:
    if not is_user(body.user):
        raise RemoteProtocolError("A bundle of public keys has an invalid user name.")
    if body.format != FORMAT or len(body.kem) != crypto.KEM_PUBLIC_SIZE or body.version < 1:
        raise RemoteProtocolError("A bundle of public keys is malformed.")
    try:
        crypto.check_rsa(body.rsa)
        crypto.check_kem(body.kem)
    except crypto.CryptoError as error:
        raise RemoteProtocolError(
            f"The public keys of '{body.user}' are not usable: {error}."
        ) from None


@dataclass(frozen=True)
class Identity:
    """A person's private keys, with the bundle of the public ones."""

    user: str
    signing: crypto.SigningKey = field(repr=False)
    rsa: crypto.RsaKey = field(repr=False)
    kem: crypto.KemKey = field(repr=False)
    bundle: VerifiedBundle
    former: tuple[Identity, ...] = field(default=(), repr=False)
    """Former keys, the newest first; they still open data that was sealed to them."""

    def holding(self, bundle: Hash) -> Identity:
        """Return the current or former private keys of a bundle; `IntegrityError` if unknown."""
        for one in (self, *self.former):
            if one.bundle.hash == bundle:
                return one
        raise IntegrityError(
            "The data is sealed to keys that you do not have.",
            hint="If your keys were reset, ask the owner to share it with you again.",
        )

    @classmethod
    def generate(cls, user: str, time_ms: int, random: Random, *, version: int = 1) -> Identity:
        """Make new keys; the RSA key uses the operating system's randomness, not `random`."""
        signing = crypto.SigningKey(random(crypto.ED25519_SIZE))
        rsa, kem = crypto.RsaKey.generate(), crypto.KemKey(random(crypto.KEM_SEED_SIZE))
        user = clean_user(user)
        body = Bundle(FORMAT, user, version, signing.public, rsa.public, kem.public, time_ms)
        signed = sign(signing, labels.SIGN_BUNDLE, body)
        return cls(user, signing, rsa, kem, VerifiedBundle(body, signed))

    def successor(self, time_ms: int, random: Random) -> Identity:
        """Make the keys of the next version, with the current ones as former keys."""
        version = self.bundle.body.version + 1
        new = Identity.generate(self.user, time_ms, random, version=version)
        return replace(new, former=(replace(self, former=()), *self.former))
