"""Messages of the agent: however they are cut, and whatever bytes arrive in their place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsclient.agent.messages import (
    MAGIC,
    MOST_ANSWER,
    MOST_FILES,
    MOST_REQUEST,
    Answer,
    Done,
    Find,
    Forget,
    Found,
    HeldFile,
    Incoming,
    Keep,
    Lock,
    Request,
    Show,
    State,
    Stop,
    packed,
)

PATHS = st.binary(min_size=1, max_size=4096)
WORDS = st.binary(min_size=32, max_size=32)
KEYS: st.SearchStrategy[memoryview] = WORDS.map(lambda word: memoryview(word))  # noqa: PLW0108
SECONDS = st.integers(0, 1 << 31)
REQUESTS = st.one_of(
    st.builds(Find, PATHS, WORDS),
    st.builds(Keep, PATHS, WORDS, KEYS),
    st.builds(Forget, PATHS),
    st.sampled_from([Lock(), Show(), Stop()]),
)
FILES = st.lists(st.builds(HeldFile, PATHS, SECONDS), max_size=MOST_FILES)
ANSWERS = st.one_of(
    st.builds(Found, st.none() | KEYS), st.just(Done()), st.builds(State, SECONDS, SECONDS, FILES)
)


def received(data: bytes, kinds: Any, most: int, sizes: list[int]) -> Any:
    """Return the message in `data`, which arrives in pieces of these sizes; None if it is cut."""
    incoming, at = Incoming(kinds, most), 0
    while (message := incoming.message()) is None and at < len(data):
        room = incoming.room
        piece = data[at : at + min(len(room), sizes[at % len(sizes)])]
        room[: len(piece)] = piece
        incoming.took(len(piece))
        at += len(piece)
    return message


SIZES = st.lists(st.integers(1, 5000), min_size=1, max_size=5)


@given(REQUESTS, SIZES, st.binary(max_size=20))
def test_a_request_arrives_in_any_pieces_and_nothing_behind_it_is_read(request, sizes, more):
    data = bytes(packed(request)) + more
    assert received(data, Request, MOST_REQUEST, sizes) == request


@given(ANSWERS, SIZES)
def test_an_answer_arrives_in_any_pieces(answer, sizes):
    assert received(bytes(packed(answer)), Answer, MOST_ANSWER, sizes) == answer


@given(REQUESTS | ANSWERS, st.data())
def test_a_message_that_is_cut_is_not_complete(message, data):
    whole = bytes(packed(message))
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    assert received(cut, Request | Answer, MOST_ANSWER, [4096]) is None


@given(st.binary(max_size=300), st.booleans(), st.booleans())
def test_other_bytes_are_refused_or_wait_for_more(data, has_magic, has_length):
    head = MAGIC if has_magic else b""
    head += len(data).to_bytes(4, "big") if has_length else b""
    try:
        found = received(head + data, Request | Answer, MOST_REQUEST, [7])
    except ValueError:
        return
    assert found is None or received(bytes(packed(found)), Request | Answer, 9000, [99]) == found


@given(st.integers(MOST_REQUEST + 1, (1 << 32) - 1))
def test_a_message_that_is_too_long_is_refused_at_its_head(length):
    with pytest.raises(ValueError, match="too long"):
        received(MAGIC + length.to_bytes(4, "big"), Request, MOST_REQUEST, [12])


@given(st.binary(max_size=100).filter(lambda key: len(key) != 32))
def test_a_key_of_another_size_is_refused(key):
    for message in (Found(memoryview(key)), Keep(b"/x", bytes(32), memoryview(key))):
        with pytest.raises(ValueError, match="size of a key"):
            received(bytes(packed(message)), Request | Answer, MOST_REQUEST, [99])


def test_another_version_is_refused_at_its_first_byte_that_differs():
    with pytest.raises(ValueError, match="another version"):
        received(b"FSAGENT2", Request, MOST_REQUEST, [8])
