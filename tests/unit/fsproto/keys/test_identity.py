"""Identities and their public bundles."""

from __future__ import annotations

import pytest

from fsproto import crypto, labels
from fsproto.errors import InvalidNameError, RemoteProtocolError, SignatureError
from fsproto.keys.grants import grant_root, open_root_grant
from fsproto.keys.identity import Identity, verify_bundle
from fsproto.signed import Signed, sign
from tests.support.fixed_keys import TIME_MS, Seeded, keyed_node, person
from tests.vectors.makers.content import replaced

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
    "changes", [{"format": 0}, {"version": 0}, {"kem": b""}, {"kem": bytes(1185)}], ids=str
)
def test_a_malformed_bundle_is_refused_whoever_signed_it(changes: dict[str, object]):
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
