"""Grants: a node's key sealed to one person, and the key of the user's root folder."""

from __future__ import annotations

import pytest

from fsproto import labels
from fsproto.errors import IntegrityError, RemoteProtocolError, SecurityError, SignatureError
from fsproto.keys.grants import Role, RootGrant, grant_root, open_root_grant, unwrap, wrap
from fsproto.keys.identity import VerifiedBundle, verify_bundle
from fsproto.packing import unpack
from fsproto.signed import sign
from tests.support.fixed_keys import TIME_MS, Seeded, identity, keyed_node, person, rsa_key, stretch
from tests.vectors.makers.content import replaced

ALICE, BOB = person("alice"), person("bob")
ROOT = keyed_node("root")


def test_a_root_grant_opens_for_its_owner():
    grant = grant_root(ROOT, ALICE, TIME_MS, Seeded("grant"))
    assert open_root_grant(grant, ALICE) == ROOT


def test_a_root_grant_opens_for_its_owner_alone():
    grant = grant_root(ROOT, ALICE, TIME_MS, Seeded("grant"))
    with pytest.raises(SignatureError):
        open_root_grant(grant, BOB)


def test_a_server_cannot_make_a_root_for_a_person():
    # The server knows all public keys, so it can seal to alice; it cannot sign as alice.
    sealed = wrap(ROOT, ALICE.bundle, Role.OWNER, Seeded("forged"))
    body = RootGrant(1, ROOT.node, 1, "alice", ALICE.signing.public, sealed, TIME_MS)
    with pytest.raises(SignatureError):
        open_root_grant(sign(BOB.signing, labels.SIGN_ROOT_GRANT, body), ALICE)


@pytest.mark.parametrize(
    "changes",
    [{"node": bytes(15)}, {"node": bytes(17)}, {"generation": -1}, {"generation": 1 << 32}],
    ids=str,
)
def test_a_malformed_root_grant_is_refused(changes: dict[str, object]):
    body = unpack(grant_root(ROOT, ALICE, TIME_MS, Seeded("grant")).payload, RootGrant)
    signed = sign(ALICE.signing, labels.SIGN_ROOT_GRANT, replaced(body, **changes))
    with pytest.raises(RemoteProtocolError):
        open_root_grant(signed, ALICE)


def test_both_private_keys_are_needed():
    sealed = wrap(ROOT, ALICE.bundle, Role.OWNER, Seeded("grant"))
    has_rsa, has_kem = identity("bob", rsa_key("alice")), identity("alice", rsa_key("bob"))
    for thief in (has_rsa, has_kem):
        with pytest.raises(IntegrityError):
            unwrap(sealed, ROOT.node, ROOT.generation, Role.OWNER, thief)


def test_a_grant_is_bound_to_the_very_bundle_it_was_made_for():
    sealed = wrap(ROOT, ALICE.bundle, Role.OWNER, Seeded("grant"))
    newer = replaced(ALICE.bundle.body, version=2)
    bundle = verify_bundle(sign(ALICE.signing, labels.SIGN_BUNDLE, newer), "alice")
    same_keys = type(ALICE)("alice", ALICE.signing, ALICE.rsa, ALICE.kem, bundle)
    with pytest.raises(IntegrityError):
        unwrap(sealed, ROOT.node, ROOT.generation, Role.OWNER, same_keys)


def test_two_grants_of_one_key_have_nothing_in_common():
    one, two = (wrap(ROOT, ALICE.bundle, Role.OWNER, Seeded("same draw")) for _ in range(2))
    assert one[:384] != two[:384]
    assert one[384 : 384 + 1088] != two[384 : 384 + 1088]
    assert one[384 + 1088 :] != two[384 + 1088 :]


@pytest.mark.parametrize("field", ["rsa", "kem"])
def test_nothing_is_sealed_to_keys_that_are_none(field: str):
    length = len(getattr(ALICE.bundle.body, field))
    body = replaced(ALICE.bundle.body, **{field: b"\xff" * length})
    bundle = VerifiedBundle(body, sign(ALICE.signing, labels.SIGN_BUNDLE, body))
    with pytest.raises(SecurityError):
        wrap(ROOT, bundle, Role.OWNER, Seeded("grant"))


@pytest.mark.parametrize("size", [0, 384, 384 + 1088, 384 + 1088 + 15, 5000])
def test_what_has_the_wrong_size_is_no_grant(size: int):
    with pytest.raises(IntegrityError):
        unwrap(stretch("noise", size), ROOT.node, 1, Role.OWNER, ALICE)
