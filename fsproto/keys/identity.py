"""Identities: a person's private keys, and the public bundle that others know them by.

A bundle carries the name, an Ed25519 key to verify, an RSA-3072 and an ML-KEM-768 key to seal
to, and is signed by the Ed25519 key it names.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fsproto import crypto, labels
from fsproto.errors import IntegrityError, RemoteProtocolError, SignatureError
from fsproto.names import clean_user
from fsproto.packing import Record, unpack
from fsproto.signed import Signed, open_signed, payload_hash, sign
from fsproto.values import Value

if TYPE_CHECKING:
    from fsproto.types import Hash, Random

FORMAT = 1


class Bundle(Record, frozen=True):
    """The public half of an identity."""

    format: int
    user: str
    version: int
    """1 for the first keys of a person, and one more for each set that replaces them."""
    ed25519: bytes
    rsa: bytes
    """SPKI DER, RSA-3072."""
    kem: bytes
    """ML-KEM-768 encapsulation key, 1,184 bytes."""
    time_ms: int


class VerifiedBundle(Value, frozen=True):
    """A bundle that its own key signed; made only by `verify_bundle` and `Identity`."""

    body: Bundle
    signed: Signed

    @property
    def hash(self) -> Hash:
        """32 bytes that stand for exactly these keys."""
        return payload_hash(labels.HASH_BUNDLE, self.signed.payload)

    @property
    def fingerprint(self) -> str:
        """What people compare: `SHA256:` and base64, over the whole bundle."""
        return crypto.fingerprint(self.signed.payload)


def verify_bundle(signed: Signed, user: str) -> VerifiedBundle:
    """Check that `signed` is a bundle of `user` made by the very key it names.

    Raises `SignatureError` or `RemoteProtocolError`. This alone does not say that the keys are
    that person's: whoever makes keys can sign them.
    """
    claimed = unpack(signed.payload, Bundle)
    body = open_signed(signed, Bundle, labels.SIGN_BUNDLE, claimed.ed25519)
    if body.user != user:
        raise SignatureError("The public keys belong to another user than the one they came for.")
    if body.format != FORMAT or len(body.kem) != crypto.KEM_PUBLIC_SIZE or body.version < 1:
        raise RemoteProtocolError("A bundle of public keys is malformed.")
    return VerifiedBundle(body, signed)


@dataclass(frozen=True)
class Identity:
    """A person's private keys with the bundle of the public ones."""

    user: str
    signing: crypto.SigningKey = field(repr=False)
    rsa: crypto.RsaKey = field(repr=False)
    kem: crypto.KemKey = field(repr=False)
    bundle: VerifiedBundle
    former: tuple[Identity, ...] = field(default=(), repr=False)
    """The keys before these, the newest first: what was sealed to them can still be opened."""

    def holding(self, bundle: Hash) -> Identity:
        """Return the private keys of a bundle that is or was one's own, or `IntegrityError`."""
        for one in (self, *self.former):
            if one.bundle.hash == bundle:
                return one
        raise IntegrityError(
            "Something was sealed to keys that you do not have.",
            hint="If your keys were reset, ask the owner to share it with you again.",
        )

    @classmethod
    def generate(cls, user: str, time_ms: int, random: Random, *, version: int = 1) -> Identity:
        """Make new keys; the RSA key comes from the operating system's randomness."""
        signing = crypto.SigningKey(random(crypto.ED25519_SIZE))
        rsa, kem = crypto.RsaKey.generate(), crypto.KemKey(random(crypto.KEM_SEED_SIZE))
        user = clean_user(user)
        body = Bundle(FORMAT, user, version, signing.public, rsa.public, kem.public, time_ms)
        signed = sign(signing, labels.SIGN_BUNDLE, body)
        return cls(user, signing, rsa, kem, VerifiedBundle(body, signed))

    def successor(self, time_ms: int, random: Random) -> Identity:
        """Make the keys that are to replace these, which they keep as former ones."""
        version = self.bundle.body.version + 1
        new = Identity.generate(self.user, time_ms, random, version=version)
        return replace(new, former=(replace(self, former=()), *self.former))
