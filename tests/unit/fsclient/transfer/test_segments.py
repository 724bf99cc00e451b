from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsclient.transfer.segments import Buffers, segments
from fsproto.sealed import stream
from tests.support.fixed_keys import stretch

FIRST, OTHER = stream.plain_length(0), stream.plain_length(1)
EDGES = [0, FIRST, FIRST + OTHER, FIRST + 2 * OTHER]
CONTENT = stretch("segments", EDGES[-1] + 2)


def cut(content: bytes) -> list[tuple[int, bytes, bool]]:
    """Return (index, plaintext, last) of each segment; each buffer is reused immediately."""
    given = memoryview(content)
    buffers = Buffers()
    taken = []

    def read_into(room: memoryview) -> int:
        nonlocal given
        count = min(len(room), len(given))
        room[:count], given = given[:count], given[count:]
        return count

    for segment in segments(read_into, buffers.take):
        plain = bytes(segment.buffer.plain[: segment.size])
        taken.append((segment.index, plain, segment.last))
        segment.buffer.plain[:4] = b"used"
        buffers.give_back(segment.buffer)
    return taken


@given(st.sampled_from(EDGES), st.integers(-2, 2))
def test_any_content_is_cut_where_the_format_says(edge, offset):
    content = CONTENT[: max(0, edge + offset)]
    pieces = cut(content)
    assert b"".join(plain for _, plain, _ in pieces) == content
    assert [index for index, _, _ in pieces] == list(range(len(pieces)))
    assert [last for _, _, last in pieces] == [False] * (len(pieces) - 1) + [True]
    assert all(len(plain) == stream.plain_length(index) for index, plain, _ in pieces[:-1])
    assert len(pieces) == stream.stored_segment_count(stream.sealed_size(len(content)))


@pytest.mark.parametrize("size", EDGES)
def test_a_full_segment_with_nothing_behind_it_is_the_last(size):
    assert len(cut(CONTENT[:size])) == max(1, EDGES.index(size))
