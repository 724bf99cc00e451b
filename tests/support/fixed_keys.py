"""Keys, people and randomness that are the same in every run.

RSA keys cannot be derived from a seed, so they are stored with the test vectors.
"""

from __future__ import annotations

import hashlib
from functools import cache

from msgspec.structs import replace

from fsproto import crypto, labels
from fsproto.keylog.head import pack_log_head
from fsproto.keys.identity import FORMAT, Bundle, Identity, verify_bundle
from fsproto.keys.tree import KeyedNode
from fsproto.signed import sign
from fsproto.types import Hash, NodeId, NodeKey
from tests import vectors

TIME_MS = 1_700_000_000_000
LOG_HEAD = pack_log_head(3, Hash(hashlib.shake_256(b"log root").digest(32)))
"""The head of a key log of three entries, for values that no server checks."""


class Seeded:
    """A `Random` that returns the bytes of SHAKE-256 of a seed, one after another."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._drawn = 0

    def __call__(self, length: int) -> bytes:
        start, self._drawn = self._drawn, self._drawn + length
        return hashlib.shake_256(self._seed).digest(self._drawn)[start:]


def stretch(seed: str, length: int) -> bytes:
    """Return `length` bytes that look random and are derived from `seed`."""
    return hashlib.shake_256(seed.encode()).digest(length)


@cache
def rsa_key(name: str) -> crypto.RsaKey:
    """Return the stored RSA key of that name: `host`, `other-host`, `alice` or `bob`."""
    return crypto.RsaKey(bytes.fromhex(vectors.named("keys", name)["pkcs8"]), intact=True)


def host_key() -> crypto.RsaKey:
    """Return the server's host key."""
    return rsa_key("host")


@cache
def person(user: str) -> Identity:
    """Return `alice` or `bob`, with all private keys."""
    return identity(user, rsa_key(user))


def identity(user: str, rsa: crypto.RsaKey) -> Identity:
    """Return a person whose other keys are derived from the name."""
    signing = crypto.SigningKey(stretch(f"{user} ed25519", crypto.ED25519_SIZE))
    kem = crypto.KemKey(stretch(f"{user} kem", crypto.KEM_SEED_SIZE))
    body = Bundle(FORMAT, user, 1, signing.public, rsa.public, kem.public, TIME_MS)
    bundle = verify_bundle(sign(signing, labels.SIGN_BUNDLE, body), user)
    return Identity(user, signing, rsa, kem, bundle)


def keyed_node(name: str, generation: int = 1) -> KeyedNode:
    """Return a node whose id and key are derived from `name`."""
    return KeyedNode(
        NodeId(stretch(f"{name} id", 16)), generation, NodeKey(stretch(f"{name} key", 32))
    )


def aged_node(name: str, generation: int, names_since: int = 1) -> KeyedNode:
    """Return the node of that name with the key of every earlier generation."""
    ages = range(generation - 1, 0, -1)
    former = tuple(NodeKey(stretch(f"{name} key {age}", 32)) for age in ages)
    return replace(keyed_node(name, generation), former=former, names_since=names_since)


def turned(data: bytes) -> bytes:
    """Return bytes with one bit of the last byte changed."""
    return data[:-1] + bytes([data[-1] ^ 1])
