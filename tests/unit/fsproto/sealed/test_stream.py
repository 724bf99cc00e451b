"""Sealed streams by segment: sizes, numbers, headers, and refused input."""

from __future__ import annotations

import pytest

from fsproto.errors import IntegrityError
from fsproto.limits import MAX_SEGMENTS, SEGMENT_SIZE
from fsproto.sealed.stream import (
    FIRST_PLAIN,
    HEADER_SIZE,
    OTHER_PLAIN,
    StreamOpener,
    StreamSealer,
    key_commitment,
    sealed_size,
    segment_count,
)
from fsproto.types import FileKey, Salt
from tests.support.fixed_keys import Seeded, stretch
from tests.support.sealed_streams import open_stream, seal_stream

KEY = FileKey(stretch("file key", 32))


def _sealer() -> StreamSealer:
    return StreamSealer(KEY, b"bound to", Salt(stretch("salt", 32)))


@pytest.mark.parametrize(
    ("index", "size", "last"),
    [
        (0, FIRST_PLAIN + 1, True),
        (0, FIRST_PLAIN + 1, False),
        (1, OTHER_PLAIN + 1, True),
        (0, FIRST_PLAIN - 1, False),
        (1, OTHER_PLAIN - 1, False),
        (0, 0, False),
        (1, 0, False),
    ],
)
def test_a_sealer_takes_full_segments_and_one_shorter_at_the_end(index: int, size: int, last: bool):
    with pytest.raises(ValueError, match="segment"):
        _sealer().seal(index, bytes(size), last=last)


@pytest.mark.parametrize("index", [-1, MAX_SEGMENTS, MAX_SEGMENTS + 1])
def test_no_segment_has_a_number_that_its_nonce_cannot_hold(index: int):
    sealer = _sealer()
    with pytest.raises(ValueError, match="segments"):
        sealer.seal(index, b"x", last=True)
    with pytest.raises(ValueError, match="segments"):
        StreamOpener(KEY, b"bound to", sealer.header).open(index, bytes(100), last=True)


def test_the_very_last_segment_there_can_be_opens():
    sealer = _sealer()
    stored = sealer.seal(MAX_SEGMENTS - 1, b"the end", last=True)
    opener = StreamOpener(KEY, b"bound to", sealer.header)
    assert opener.open(MAX_SEGMENTS - 1, stored, last=True) == b"the end"


def test_an_empty_file_is_one_empty_segment():
    stored = seal_stream(KEY, b"", b"", Seeded("empty"))
    assert len(stored) == sealed_size(0) == HEADER_SIZE + 16
    assert segment_count(0) == 1
    assert open_stream(KEY, b"", stored) == b""


def test_a_header_says_its_length_and_follows_from_key_and_salt():
    header = _sealer().header
    assert header[0] == len(header) == HEADER_SIZE == 40
    assert header == _sealer().header
    other_salt = StreamSealer(KEY, b"bound to", Salt(stretch("another salt", 32)))
    other_key = StreamSealer(FileKey(bytes(32)), b"bound to", Salt(stretch("salt", 32)))
    assert len({header[1:], other_salt.header[1:], other_key.header[1:]}) == 3


def test_two_streams_of_one_file_key_have_nothing_in_common():
    draw = Seeded("both")
    one, two = (seal_stream(KEY, b"", bytes(1000), draw) for _ in range(2))
    assert one[1:40] != two[1:40]
    assert not any(a == b for a, b in zip(_blocks(one), _blocks(two), strict=True))


def _blocks(stored: bytes) -> list[bytes]:
    return [stored[at : at + 16] for at in range(HEADER_SIZE, len(stored) - 16, 16)]


@pytest.mark.parametrize("header", [b"", b"\x28", b"\x28" + bytes(38), b"\x28" + bytes(40)])
def test_what_is_too_short_or_long_for_a_header_is_none(header: bytes):
    with pytest.raises(IntegrityError):
        StreamOpener(KEY, b"", header)


@pytest.mark.parametrize("first", [0, 39, 41, 255])
def test_a_header_of_another_format_is_refused(first: int):
    with pytest.raises(IntegrityError):
        StreamOpener(KEY, b"", bytes([first]) + bytes(39))


@pytest.mark.parametrize("size", [0, 1, 39, 40, 41, 55])
def test_a_first_segment_shorter_than_header_and_tag_is_refused(size: int):
    opener = StreamOpener(KEY, b"bound to", _sealer().header)
    with pytest.raises(IntegrityError):
        opener.open(0, bytes(size), last=True)
    with pytest.raises(IntegrityError):
        opener.open_into(0, memoryview(bytes(size)), memoryview(bytearray(100)), last=True)


def test_segments_may_be_sealed_and_opened_in_any_order():
    sealer = _sealer()
    plain = [stretch(f"segment {n}", size) for n, size in enumerate((FIRST_PLAIN, OTHER_PLAIN, 9))]
    stored = {n: sealer.seal(n, plain[n], last=n == 2) for n in (2, 0, 1)}
    opener = StreamOpener(KEY, b"bound to", stored[0][:HEADER_SIZE])
    for number in (1, 2, 0):
        assert opener.open(number, memoryview(stored[number]), last=number == 2) == plain[number]


@pytest.mark.parametrize(("index", "size"), [(0, 0), (0, 9), (0, FIRST_PLAIN), (3, OTHER_PLAIN)])
def test_a_segment_made_in_given_memory_is_the_same_segment(index: int, size: int):
    plaintext, last = stretch("segment", size), size < FIRST_PLAIN
    out = bytearray(b"\xee" * (SEGMENT_SIZE + 3))
    length = _sealer().seal_into(index, memoryview(plaintext), memoryview(out), last=last)
    assert out[:length] == _sealer().seal(index, plaintext, last=last)
    assert out[length:] == b"\xee" * (len(out) - length)


def test_a_segment_is_not_made_of_more_or_less_than_it_holds():
    out = memoryview(bytearray(SEGMENT_SIZE + 100))
    for size, last in ((FIRST_PLAIN + 1, True), (FIRST_PLAIN - 1, False), (0, False)):
        with pytest.raises(ValueError, match="segment"):
            _sealer().seal_into(0, memoryview(bytes(size)), out, last=last)


def test_a_commitment_tells_nothing_that_opens_the_stream():
    salt = stretch("salt", 32)
    stored = seal_stream(KEY, b"", b"plaintext", Seeded("stream"))
    with pytest.raises(IntegrityError):
        open_stream(FileKey(key_commitment(KEY, salt)), b"", stored)
