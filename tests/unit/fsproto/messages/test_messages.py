"""Names and sizes of messages; the property tests cover the round trip."""

from __future__ import annotations

import pytest

from fsproto.errors import RemoteProtocolError
from fsproto.limits import MAX_CONTROL
from fsproto.messages import MESSAGES, Done, Message, decode, encode
from fsproto.messages.files import Found, Lookup, Sent
from fsproto.signed import Signed
from fsproto.types import NodeId, Token


def _every_message(root: type[Message] = Message) -> list[type[Message]]:
    children = root.__subclasses__()
    return children + [found for child in children for found in _every_message(child)]


def test_every_message_can_be_read():
    ours = [kind for kind in _every_message() if kind.__module__.startswith("fsproto.")]
    assert set(MESSAGES) == set(ours)
    assert len(set(MESSAGES)) == len(MESSAGES)


def test_every_message_has_a_name_of_its_own():
    names = [kind.__struct_config__.tag for kind in MESSAGES]
    assert len(set(names)) == len(MESSAGES)
    assert names == [kind.__name__.lower() for kind in MESSAGES]


def test_a_message_is_an_array_that_begins_with_its_name():
    assert encode(Done()) == b"\x91\xa4done"
    assert encode(Sent(5)) == b"\x92\xa4sent\x05"


def _lookup(size: int) -> Lookup:
    """Return a message that is packed in `size` bytes."""
    bare = len(encode(Lookup(NodeId(b"x" * 70000), [])))
    return Lookup(NodeId(b"x" * (70000 + size - bare)), [])


def test_a_message_may_be_as_long_as_a_control_record_allows():
    assert len(encode(_lookup(MAX_CONTROL))) == MAX_CONTROL
    assert decode(encode(_lookup(MAX_CONTROL))) == _lookup(MAX_CONTROL)


def test_a_longer_message_is_our_own_mistake_or_theirs():
    with pytest.raises(ValueError, match="too long"):
        encode(_lookup(MAX_CONTROL + 1))
    with pytest.raises(RemoteProtocolError):
        decode(b"\x91\xa4done" + bytes(MAX_CONTROL))


def test_a_list_that_claims_more_than_there_is_is_refused_at_once():
    head = encode(Lookup(NodeId(bytes(16)), []))[:-1]
    with pytest.raises(RemoteProtocolError):
        decode(head + b"\xdd\xff\xff\xff\xff" + b"\xc4\x00" * 10)


def test_what_was_read_does_not_change_with_the_buffer_it_came_from():
    buffer = bytearray(encode(Found(Signed(b"payload", b"signature"), b"proof", [])))
    message = decode(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert message == Found(Signed(b"payload", b"signature"), b"proof", [])


def test_a_message_within_a_message_is_read_as_what_it_is():
    signed, tokens = Signed(b"payload", b"signature"), [Token(bytes(32))]
    assert decode(encode(Lookup(NodeId(bytes(16)), tokens))) == Lookup(NodeId(bytes(16)), tokens)
    assert decode(encode(Found(signed, b"", [signed, signed]))).manifests == [signed, signed]  # type: ignore[attr-defined]
