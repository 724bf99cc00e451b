"""Identities and their public bundles."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fsproto import crypto, labels
from fsproto.errors import InvalidNameError, RemoteProtocolError, SignatureError
from fsproto.keylog.entries import KeyEvent, KeyLogEntry, read_entry
from fsproto.keys.grants import grant_root, open_root_grant
from fsproto.keys.identity import Identity, verify_bundle
from fsproto.packing import pack
from fsproto.signed import Signed, sign
from fsproto.types import NO_HASH
from tests.support.fixed_keys import TIME_MS, Seeded, keyed_node, person
from tests.vectors.makers.content import replaced

SPKI = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo


def rsa_public(bits: int, exponent: int = 65537) -> bytes:
    """Return another RSA public key than a bundle has (SPKI DER)."""
    key = rsa.generate_private_key(65537, bits).public_key().public_numbers()
    return rsa.RSAPublicNumbers(exponent, key.n).public_key().public_bytes(*SPKI)


ALICE, BOB = person("alice"), person("bob")


def test_a_new_identity_has_keys_that_belong_together():
    made = Identity.generate("carol", TIME_MS, Seeded("carol"))
    assert verify_bundle(made.bundle.signed, "carol") == made.bundle
    grant = grant_root(keyed_node("root"), made, TIME_MS, Seeded("grant"))
    assert open_root_grant(grant, made) == keyed_node("root")


def test_nobody_has_a_name_that_is_none():
    with pytest.raises(InvalidNameError):
        Identity.generate("../carol", TIME_MS, Seeded("carol"))


def test_a_bundle_is_of_the_person_it_came_for():
    with pytest.raises(SignatureError):
        verify_bundle(BOB.bundle.signed, "alice")


def test_a_bundle_cannot_carry_the_keys_of_another():
    # Bob combines alice's signing key with his encryption keys, to read data sealed to alice.
    body = replaced(BOB.bundle.body, user="alice", ed25519=ALICE.signing.public)
    with pytest.raises(SignatureError):
        verify_bundle(sign(BOB.signing, labels.SIGN_BUNDLE, body), "alice")


@pytest.mark.parametrize("field", ["user", "version", "rsa", "kem", "time_ms"])
def test_everything_in_a_bundle_is_signed(field: str):
    other = replaced(ALICE.bundle.body, **{field: getattr(BOB.bundle.body, field)})
    if field in ("version", "time_ms"):
        other = replaced(ALICE.bundle.body, **{field: getattr(other, field) + 1})
    payload = sign(BOB.signing, labels.SIGN_BUNDLE, other).payload
    with pytest.raises(SignatureError):
        verify_bundle(Signed(payload, ALICE.bundle.signed.signature), other.user)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 0},
        {"version": 0},
        {"kem": b""},
        {"kem": bytes(1185)},
        {"kem": b"\xff" * 1184},
        {"rsa": b""},
        {"rsa": b"junk"},
        {"rsa": ALICE.bundle.body.rsa + b"\0"},
        {"rsa": rsa_public(2048)},
        {"rsa": rsa_public(3072, 3)},
        {"rsa": ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*SPKI)},
    ],
    ids=lambda changes: next(iter(changes)),  # the keys are new in each worker
)
def test_a_malformed_bundle_is_refused_with_any_signature(changes: dict[str, object]):
    body = replaced(ALICE.bundle.body, **changes)
    with pytest.raises(RemoteProtocolError):
        verify_bundle(sign(ALICE.signing, labels.SIGN_BUNDLE, body), "alice")


def test_a_fingerprint_stands_for_the_whole_bundle():
    newer = replaced(ALICE.bundle.body, version=2)
    bundle = verify_bundle(sign(ALICE.signing, labels.SIGN_BUNDLE, newer), "alice")
    assert bundle.fingerprint != ALICE.bundle.fingerprint
    assert bundle.hash != ALICE.bundle.hash
    assert ALICE.bundle.fingerprint == crypto.fingerprint(ALICE.bundle.signed.payload)


def test_an_identity_does_not_show_its_private_keys():
    shown = repr(ALICE)
    for private in (ALICE.signing.seed, ALICE.kem.seed, ALICE.rsa.der):
        assert repr(private)[2:-1] not in shown
    assert "signing" not in shown


@pytest.mark.parametrize(
    "key",
    [
        bytes([1]) + bytes(31),  # the neutral element: anybody signs anything
        bytes(32),
        bytes(31) + b"\x80",
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        b"\xee" + b"\xff" * 30 + b"\x7f",  # 1, not reduced
        b"\xed" + b"\xff" * 30 + b"\xff",  # 0, not reduced, with a sign
        b"\xff" * 32,
    ],
    ids=lambda key: key.hex()[:8],
)
def test_no_signature_verifies_under_a_key_of_small_order_or_in_another_encoding(key: bytes):
    body = replaced(ALICE.bundle.body, ed25519=key)
    for signature in (bytes([1]) + bytes(63), key + bytes(32), bytes(64)):
        with pytest.raises(SignatureError):
            verify_bundle(Signed(pack(body), signature), "alice")
    with pytest.raises(RemoteProtocolError, match="Ed25519"):
        read_entry(pack(KeyLogEntry(1, 0, "alice", KeyEvent.ENROLLED, NO_HASH, key, b"", 1)), 0)


def test_a_signature_whose_s_is_not_reduced_does_not_verify():
    order = 2**252 + 27742317777372353535851937790883648493
    signature = ALICE.signing.sign(b"one thing")
    s = int.from_bytes(signature[32:], "little") + order
    crypto.verify(ALICE.signing.public, signature, b"one thing")
    with pytest.raises(crypto.CryptoError):
        crypto.verify(ALICE.signing.public, signature[:32] + s.to_bytes(32, "little"), b"one thing")
