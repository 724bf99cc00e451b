"""Packed messages survive a round trip; invalid bytes are refused with one error."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsproto.errors import RemoteProtocolError
from fsproto.keys.grants import RootGrant
from fsproto.keys.identity import Bundle
from fsproto.messages import MESSAGES, Message, decode, encode
from fsproto.packing import Record, pack, unpack
from fsproto.sealed.folder import FolderState
from fsproto.sealed.manifest import Manifest, Metadata
from fsproto.signed import Signed
from tests.conftest import examples
from tests.support import strategies as our

PACKED = [Signed, Manifest, Metadata, FolderState, Bundle, RootGrant]


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@settings(max_examples=examples(15))
@given(data=st.data())
def test_a_message_comes_back_as_it_was(kind: type[Message], data: st.DataObject):
    message = data.draw(our.records(kind))
    read = decode(encode(message))
    assert type(read) is kind
    assert read == message


@pytest.mark.parametrize("kind", PACKED, ids=lambda kind: kind.__name__)
@settings(max_examples=examples(15))
@given(data=st.data())
def test_a_record_comes_back_as_it_was(kind: type[Record], data: st.DataObject):
    record = data.draw(our.records(kind))
    assert unpack(pack(record), kind) == record


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused_in_one_way(packed: bytes):
    _read_or_refused(packed)


# Valid msgpack values, so that decoding gets past the first byte.
values = st.recursive(
    st.none()
    | st.booleans()
    | our.packable_ints
    | st.floats()
    | st.binary(max_size=40)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=20,
)
heads = st.sampled_from([kind.__name__.lower() for kind in MESSAGES])


@given(head=heads, rest=st.lists(values, max_size=6))
def test_a_message_of_the_wrong_shape_is_read_or_refused_in_one_way(head: str, rest: list[object]):
    _read_or_refused(msgspec.msgpack.encode([head, *rest]))


@given(data=st.data())
def test_a_damaged_message_is_read_or_refused_in_one_way(data: st.DataObject):
    packed = encode(data.draw(our.messages))
    _read_or_refused(
        data.draw(our.flipped(packed) | st.integers(0, len(packed)).map(lambda n: packed[:n]))
    )


@given(message=our.messages, behind=st.binary(min_size=1, max_size=8))
def test_bytes_behind_a_message_are_refused(message: Message, behind: bytes):
    with pytest.raises(RemoteProtocolError):
        decode(encode(message) + behind)


@pytest.mark.parametrize(
    "opening", [b"\x91", b"\x81\xa0", b"\x93\xa4list\x91", b"\xdd\xff\xff\xff\xff"]
)
def test_a_message_nested_without_end_is_refused(opening: bytes):
    with pytest.raises(RemoteProtocolError):
        decode(opening * 100_000)


@given(kind=st.sampled_from(PACKED), packed=st.binary(max_size=120))
def test_arbitrary_bytes_are_no_record_or_refused_in_one_way(kind: type[Record], packed: bytes):
    error = our.outcome(lambda: unpack(packed, kind))
    assert error is None or type(error) is RemoteProtocolError


def _read_or_refused(packed: bytes) -> None:
    """Decode; a decoded message must survive a round trip, and only one error is allowed."""
    try:
        message = decode(packed)
    except RemoteProtocolError:
        return
    assert decode(encode(message)) == message
