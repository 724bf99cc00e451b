"""Many payloads under one signature."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsproto import labels
from fsproto.crypto import CryptoError
from fsproto.proofs import merkle
from fsproto.signed import SIGNED_AT_ONCE, Signed, Verifier, sign_many
from tests.support import reference
from tests.support import strategies as our
from tests.support.fixed_keys import person

ALICE, BOB = person("alice"), person("bob")
LABELS = labels.SIGN_MANIFEST, labels.SIGN_MANIFESTS

payloads = st.lists(st.binary(max_size=8), min_size=1, max_size=2 * SIGNED_AT_ONCE + 2)


def verifies(signed: Signed, key: Verifier | None = None) -> bool:
    """Return whether alice's signature verifies."""
    try:
        (key or Verifier(ALICE.signing.public)).verify(signed, *LABELS)
    except CryptoError:
        return False
    return True


@given(payloads=payloads)
def test_each_of_many_verifies_by_itself_and_with_the_others(payloads: list[bytes]):
    signed = sign_many(ALICE.signing, *LABELS, payloads)
    assert [one.payload for one in signed] == payloads
    together = Verifier(ALICE.signing.public)
    assert all(verifies(one) and verifies(one, together) for one in signed)
    assert not any(verifies(one, Verifier(BOB.signing.public)) for one in signed)


@given(payloads=payloads, data=st.data())
def test_a_bit_that_is_turned_is_noticed_even_after_the_others_were_verified(
    payloads: list[bytes], data: st.DataObject
):
    signed = sign_many(ALICE.signing, *LABELS, payloads)
    key = Verifier(ALICE.signing.public)
    assert all(verifies(one, key) for one in signed)
    one = data.draw(st.sampled_from(signed))
    assert not verifies(Signed(one.payload, data.draw(our.flipped(one.signature))), key)
    if one.payload:
        assert not verifies(Signed(data.draw(our.flipped(one.payload)), one.signature), key)


@given(payload=st.binary(max_size=80), signature=st.binary(max_size=200))
def test_an_invalid_signature_is_refused(payload: bytes, signature: bytes):
    assert not verifies(Signed(payload, signature))


@given(payloads=payloads)
def test_trees_and_paths_are_those_of_the_reference(payloads: list[bytes]):
    root, paths = merkle.root_and_paths([merkle.leaf_hash(one) for one in payloads])
    assert root == reference.tree_hash(payloads)
    for index, path in enumerate(paths):
        assert path == b"".join(reference.inclusion_path(index, payloads))


@given(
    payload=st.binary(max_size=8),
    index=st.integers(0, 300),
    count=st.integers(0, 300),
    levels=st.integers(0, 12),
)
def test_a_path_leads_somewhere_only_if_it_has_the_length_of_its_place(
    payload: bytes, index: int, count: int, levels: int
):
    root = merkle.root_of_path(merkle.leaf_hash(payload), index, count, bytes(32 * levels))
    entries = [b""] * count
    if index < count and levels == len(reference.inclusion_path(index, entries)):
        assert root == reference.root_of(payload, index, count, [bytes(32)] * levels)
    else:
        assert root is None


@pytest.mark.parametrize(
    ("count", "root"),
    [
        (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
        (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
        (5, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
        (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
    ],
)
def test_trees_are_those_of_certificate_transparency(count: int, root: str):
    """Use the list that implementations of RFC 6962 are tested with."""
    entries = ["", "00", "10", "2021", "3031", "40414243"]
    entries += ["5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    leaves = [merkle.leaf_hash(bytes.fromhex(entry)) for entry in entries[:count]]
    assert merkle.root_and_paths(leaves)[0].hex() == root
