"""The salted hash over a stored blob."""

from __future__ import annotations

import hashlib

from fsproto.limits import SEGMENT_SIZE
from fsproto.sealed.integrity import blob_root, leaf, root
from fsproto.types import Salt
from tests.support.fixed_keys import stretch

SALT = Salt(stretch("salt", 32))


def test_the_root_of_a_small_blob_can_be_computed_by_hand():
    only = hashlib.sha256(SALT + bytes(8) + b"stored bytes").digest()
    counts = (1).to_bytes(8, "big") + (12).to_bytes(8, "big")
    expected = hashlib.sha256(SALT + b"root" + counts + only).digest()
    assert leaf(SALT, 0, b"stored bytes") == only
    assert root(SALT, [only], 12) == blob_root(SALT, b"stored bytes") == expected


def test_a_blob_and_a_view_of_it_have_one_root():
    blob = stretch("blob", SEGMENT_SIZE + 5)
    assert blob_root(SALT, blob) == blob_root(SALT, memoryview(blob))


def test_the_same_blob_under_another_salt_has_another_root():
    blob = stretch("blob", 100)
    assert blob_root(SALT, blob) != blob_root(Salt(stretch("other salt", 32)), blob)


def test_a_leaf_cannot_be_taken_for_a_root():
    # The input after the salt differs in length and content between leaves and roots.
    blob = b"root" + bytes(16) + bytes(32)
    assert leaf(SALT, 0, blob) != root(SALT, [bytes(32)], 0)


def test_nothing_stored_has_a_root_of_one_empty_segment():
    assert blob_root(SALT, b"") == root(SALT, [leaf(SALT, 0, b"")], 0)
