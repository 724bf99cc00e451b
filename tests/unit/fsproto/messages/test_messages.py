"""Names and sizes of messages; the property tests cover the round trip."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect

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


def test_a_message_is_an_array_that_starts_with_its_name():
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


# --- what one message may take in memory

MOST_DECODED = 24 << 20
"""Bytes; `MAX_CONTROL` bytes of the smallest items may become this much."""


def _lists(kind: inspect.Type) -> Iterator[inspect.ListType]:
    """Yield the type of every list in a type, at any depth."""
    match kind:
        case inspect.StructType(fields=fields):
            for each in fields:
                yield from _lists(each.type)
        case inspect.UnionType(types=types):
            for each_type in types:
                yield from _lists(each_type)
        case inspect.ListType():
            yield kind
            yield from _lists(kind.item_type)


def _tag(kind: inspect.StructType) -> list[Any]:
    return [] if kind.tag is None else [kind.tag]


def _smallest(kind: inspect.Type) -> Any:
    """Return the value of a type that takes the fewest bytes."""
    match kind:
        case inspect.StructType(fields=fields):
            return [*_tag(kind), *(_smallest(each.type) for each in fields)]
        case inspect.UnionType(includes_none=True):
            return None
        case inspect.UnionType(types=types):
            return _smallest(types[0])
        case inspect.ListType():
            return []
        case inspect.IntType():
            return kind.ge or 0
        case inspect.EnumType(cls=cls):
            return next(iter(cls)).value
    simple: dict[type, Any] = {inspect.BytesType: b"", inspect.StrType: "", inspect.BoolType: False}
    return simple[type(kind)]


def _filled(kind: inspect.Type, room: int, *, inner: bool) -> Any:
    """Return a value with as many items as fit in `room` bytes; `inner`: in the innermost lists."""
    match kind:
        case inspect.StructType(fields=fields):
            return [*_tag(kind), *(_filled(each.type, room, inner=inner) for each in fields)]
        case inspect.ListType(item_type=item):
            most = kind.max_length
            assert most is not None
            one = _smallest(item)
            if inner and list(_lists(item)):
                one = _filled(item, min(room, 1 << 16), inner=False)
            return [one] * min(most, room // len(msgspec.msgpack.encode(one)))
    return _smallest(kind)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_every_list_in_a_message_has_a_limit(kind: type[Message]):
    assert all(each.max_length is not None for each in _lists(inspect.type_info(kind)))


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_the_longest_message_of_the_smallest_items_takes_little_memory(
    kind: type[Message], *, inner: bool
):
    form = inspect.type_info(kind)
    assert isinstance(form, inspect.StructType)
    lists = max(1, sum(isinstance(each.type, inspect.ListType) for each in form.fields))
    packed = msgspec.msgpack.encode(_filled(form, (MAX_CONTROL - 100) // lists, inner=inner))
    assert len(packed) <= MAX_CONTROL
    tracemalloc.start()
    try:
        message = decode(packed)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(message, kind)
    assert peak < MOST_DECODED


def test_a_list_with_one_item_too_many_is_refused():
    fields = ["blocked", [""] * 1001]
    with pytest.raises(RemoteProtocolError):
        decode(msgspec.msgpack.encode(fields))
    assert len(decode(msgspec.msgpack.encode(["blocked", [""] * 1000])).owners) == 1000  # type: ignore[attr-defined]
