"""Packed records are read strictly: exactly the fields, exactly the types, exactly the bytes."""

from __future__ import annotations

import msgspec
import pytest

from fsproto.errors import RemoteProtocolError
from fsproto.packing import Record, pack, unpack


class _Pair(Record, frozen=True):
    number: int
    data: bytes | None = None


def test_a_record_is_an_array_of_its_fields_in_order():
    assert pack(_Pair(5, b"x")) == b"\x92\x05\xc4\x01x"
    assert unpack(b"\x92\x05\xc4\x01x", _Pair) == _Pair(5, b"x")


def test_a_field_with_its_default_is_written_all_the_same():
    assert pack(_Pair(5)) == b"\x92\x05\xc0"


@pytest.mark.parametrize(
    "value",
    [
        *([], [5, None, None], {"number": 5, "data": None}, 5, None, "text", b"data"),
        *([5.0, None], ["5", None], [True, None], [None, None], [5, "text"], [5, [1]]),
    ],
    ids=repr,
)
def test_anything_but_exactly_the_declared_shape_is_refused(value: object):
    with pytest.raises(RemoteProtocolError, match="_Pair"):
        unpack(msgspec.msgpack.encode(value), _Pair)


@pytest.mark.parametrize("behind", [b"\x00", b"\xc0", b"\x92\x05\xc0"])
def test_bytes_behind_a_record_are_refused(behind: bytes):
    with pytest.raises(RemoteProtocolError):
        unpack(pack(_Pair(5)) + behind, _Pair)


def test_a_record_cannot_be_changed():
    with pytest.raises(AttributeError):
        _Pair(5).number = 6  # type: ignore[misc]
