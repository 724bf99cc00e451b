"""Packed records are read strictly: exactly the fields, exactly the types, exactly the bytes."""

from __future__ import annotations

import subprocess
import sys

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


_MANY_AT_ONCE = """
import sys, threading, types
from fsproto.packing import unpack

def race(number):
    kinds = sys.modules[f"kinds{number}"] = types.ModuleType(f"kinds{number}")
    exec(
        "from __future__ import annotations\\n"
        "from fsproto.packing import Record\\n"
        "class Inner(Record): a: bytes; b: int\\n"
        "class Outer(Record): one: Inner; some: list[Inner]; c: bytes\\n",
        kinds.__dict__,
    )
    packed = b"\\x93\\x92\\xc4\\x01x\\x05\\x91\\x92\\xc4\\x01x\\x05\\xc4\\x01y"
    together = threading.Barrier(8)
    def read():
        together.wait()
        read_so.append(unpack(packed, kinds.Outer).c)
    read_so = []
    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_so == [b"y"] * 8

sys.setswitchinterval(1e-6)
for number in range(300):
    race(number)
"""


def test_many_threads_may_be_the_first_to_read_a_record_of_a_kind():
    # A separate process, because the tested fault would crash the interpreter.
    done = subprocess.run([sys.executable, "-c", _MANY_AT_ONCE], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
