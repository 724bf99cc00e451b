"""Sealed streams: opening returns exactly the sealed plaintext, or nothing."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fsproto.errors import IntegrityError
from fsproto.limits import SEGMENT_SIZE
from fsproto.sealed.integrity import blob_root, leaf, root
from fsproto.sealed.stream import (
    FIRST_PLAIN,
    HEADER_SIZE,
    OTHER_PLAIN,
    StreamOpener,
    StreamSealer,
    content_ad,
    key_commitment,
    sealed_size,
    segment_count,
    stored_segment_count,
)
from fsproto.types import FileKey, NodeId, Salt
from tests.support import strategies as our
from tests.support.fixed_keys import Seeded, stretch
from tests.support.sealed_streams import open_stream, seal_segments, seal_stream

KEY = FileKey(stretch("key of the streams", 32))
AD = content_ad(NodeId(stretch("node of the streams", 16)), 7)
PLAIN = stretch("plaintext", FIRST_PLAIN + OTHER_PLAIN + 1000)


@cache
def segments(seed: str = "first stream") -> tuple[bytes, ...]:
    """Return three stored segments."""
    return tuple(seal_segments(KEY, AD, PLAIN, Seeded(seed)))


def boundaries() -> list[int]:
    """Return the sizes at which the number of segments changes, and the sizes next to them."""
    full = [0, FIRST_PLAIN, FIRST_PLAIN + OTHER_PLAIN, FIRST_PLAIN + 2 * OTHER_PLAIN]
    return sorted({size + step for size in full for step in (-1, 0, 1) if size + step >= 0})


@pytest.mark.parametrize("size", boundaries())
def test_a_stream_of_any_size_opens_and_has_the_size_foretold(size: int):
    plaintext = stretch("any size", size)
    pieces = seal_segments(KEY, AD, plaintext, Seeded("sizes"))
    stored = b"".join(pieces)
    assert len(pieces) == segment_count(size) == stored_segment_count(len(stored))
    assert len(stored) == sealed_size(size)
    assert {len(piece) for piece in pieces[:-1]} <= {SEGMENT_SIZE}
    assert open_stream(KEY, AD, stored) == plaintext


@given(key=our.file_keys, ad=st.binary(max_size=60), plaintext=st.binary(max_size=3000))
def test_a_small_stream_opens_and_has_the_size_foretold(key: FileKey, ad: bytes, plaintext: bytes):
    stored = seal_stream(key, ad, plaintext, Seeded("small"))
    assert len(stored) == sealed_size(len(plaintext))
    assert open_stream(key, ad, stored) == plaintext


@given(size=st.integers(0, 1 << 50) | st.integers(0, 1 << 30).map(lambda n: n * OTHER_PLAIN))
def test_sizes_and_counts_agree_for_any_file(size: int):
    count = segment_count(size)
    assert stored_segment_count(sealed_size(size)) == count >= 1
    assert FIRST_PLAIN + (count - 1) * OTHER_PLAIN >= size
    assert count == 1 or FIRST_PLAIN + (count - 2) * OTHER_PLAIN < size
    assert sealed_size(size + 1) > sealed_size(size)


# --- streams that must not open


@given(data=st.data())
def test_a_stream_with_any_bit_changed_is_refused(data: st.DataObject):
    part = data.draw(st.integers(0, 2))
    pieces = list(segments())
    pieces[part] = data.draw(our.flipped(pieces[part]))
    _refused(b"".join(pieces))


@given(data=st.data())
def test_a_header_with_any_bit_changed_is_refused(data: st.DataObject):
    stored = seal_stream(KEY, AD, b"small", Seeded("header"))
    header = data.draw(our.flipped(stored[:HEADER_SIZE]))
    _refused(header + stored[HEADER_SIZE:])


@given(
    size=st.integers(0, sealed_size(len(PLAIN)) - 1)
    | st.integers(0, HEADER_SIZE + 40)
    | st.sampled_from([SEGMENT_SIZE + step for step in (-1, 0, 1)])
    | st.sampled_from([2 * SEGMENT_SIZE + step for step in (-1, 0, 1)])
)
def test_a_stream_that_is_cut_anywhere_is_refused(size: int):
    _refused(b"".join(segments())[:size])


@given(behind=st.binary(min_size=1, max_size=100))
def test_a_stream_with_anything_behind_its_end_is_refused(behind: bytes):
    _refused(b"".join(segments()) + behind)


@given(order=st.lists(st.integers(0, 2), max_size=5))
def test_segments_in_any_other_order_are_refused(order: list[int]):
    assume(order != [0, 1, 2])
    _refused(b"".join(segments()[index] for index in order))


@given(other=st.sets(st.integers(0, 2), min_size=1, max_size=2))
def test_segments_of_two_streams_of_one_file_do_not_mix(other: set[int]):
    both = segments(), segments("second stream")
    _refused(b"".join(both[index in other][index] for index in range(3)))


@given(key=our.file_keys, ad=st.binary(max_size=80))
def test_a_stream_opens_under_its_own_key_and_binding_alone(key: FileKey, ad: bytes):
    stored = seal_stream(KEY, AD, b"small", Seeded("binding"))
    assume(key != KEY)
    for wrong in ((key, AD), (KEY, ad), (key, ad)):
        assume(wrong != (KEY, AD))
        with pytest.raises(IntegrityError):
            open_stream(*wrong, stored)


@given(a=our.node_ids, b=our.node_ids, one=our.versions, two=our.versions)
def test_different_nodes_and_versions_have_different_bindings(
    a: NodeId, b: NodeId, one: int, two: int
):
    assert (content_ad(a, one) == content_ad(b, two)) == ((a, one) == (b, two))


@given(index=st.integers(0, 3), last=st.booleans())
def test_a_segment_opens_at_its_own_place_alone(index: int, last: bool):
    opener = StreamOpener(KEY, AD, segments()[0][:HEADER_SIZE])
    for number, segment in enumerate(segments()):
        if (index, last) == (number, number == 2):
            assert opener.open(index, segment, last=last)
        else:
            with pytest.raises(IntegrityError):
                opener.open(index, segment, last=last)


@given(
    index=st.integers(0, (1 << 32) - 1), plaintext=st.binary(max_size=40), wrong=st.integers(1, 99)
)
def test_a_last_segment_of_any_number_opens_as_just_that(index: int, plaintext: bytes, wrong: int):
    sealer = StreamSealer(KEY, AD, Salt(stretch("any number", 32)))
    opener = StreamOpener(KEY, AD, sealer.header)
    stored = sealer.seal(index, plaintext, last=True)
    assert opener.open(index, stored, last=True) == plaintext
    with pytest.raises(IntegrityError):
        opener.open(index, stored, last=False)
    with pytest.raises(IntegrityError):
        opener.open((index + wrong) % (1 << 32), stored, last=True)


def _refused(stored: bytes) -> None:
    with pytest.raises(IntegrityError):
        open_stream(KEY, AD, stored)


# --- leaves, roots and commitments


@given(data=st.data(), blob=st.binary(min_size=1, max_size=500), salt=our.exactly(32))
def test_a_root_stands_for_every_bit_of_blob_and_salt(
    data: st.DataObject, blob: bytes, salt: bytes
):
    expected = blob_root(Salt(salt), blob)
    assert blob_root(Salt(salt), data.draw(our.flipped(blob))) != expected
    assert blob_root(Salt(data.draw(our.flipped(salt))), blob) != expected
    assert blob_root(Salt(salt), blob[:-1]) != expected
    assert blob_root(Salt(salt), blob + b"\0") != expected


@given(
    salt=our.exactly(32).map(Salt),
    leaves=st.lists(our.exactly(32), min_size=2, max_size=5, unique=True),
    data=st.data(),
)
def test_a_root_stands_for_its_leaves_their_order_and_the_size(
    salt: Salt, leaves: list[bytes], data: st.DataObject
):
    size = len(leaves) * SEGMENT_SIZE
    other = data.draw(st.permutations(leaves).filter(lambda order: order != leaves))
    assert root(salt, other, size) != root(salt, leaves, size)
    assert root(salt, leaves[:-1], size) != root(salt, leaves, size)
    assert root(salt, leaves, size - 1) != root(salt, leaves, size)


@given(salt=our.exactly(32).map(Salt), segment=st.binary(max_size=64), index=st.integers(0, 99))
def test_a_leaf_stands_for_the_place_of_its_segment(salt: Salt, segment: bytes, index: int):
    assert leaf(salt, index, segment) != leaf(salt, index + 1, segment)


@given(key=our.file_keys, other=our.file_keys, salt=our.exactly(32))
def test_a_commitment_is_to_one_file_key(key: FileKey, other: FileKey, salt: bytes):
    assert (key_commitment(key, salt) == key_commitment(other, salt)) == (key == other)
