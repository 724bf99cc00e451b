"""Changes of packed values: a value of MessagePack stays one, and other values take its places.

The decoder is a C library, in which the fuzzer sees no coverage. So it is given values that are
almost right, made from the seeds, in place of bytes that fail at the first field.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

import msgspec

_EDGES: tuple[Any, ...] = (
    *(None, True, 0, 1, -1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 0.5),
    *(
        b"",
        b"\0",
        bytes(16),
        bytes(32),
        bytes(64),
        b"\xff" * 32,
        "",
        "a",
        "..",
        "é",
        "\0",
        "x" * 300,
    ),
    *([], {}, [[]], {"": None}),
)
_LONGEST = 20
"""Items that one list grows by."""
_DECODER = msgspec.msgpack.Decoder()


class Mutator:
    """Changes values, and starts again from the seeds."""

    def __init__(self, seeds: Iterable[bytes], magic: bytes = b"") -> None:
        """Take packed values to start from; `magic` stands before each value."""
        self._magic = magic
        # Decoded once: that takes longer than everything else that a change needs.
        values = (_read(seed.removeprefix(magic)) for seed in seeds)
        self._values = [value for value in values if isinstance(value, list)] or [[]]

    def changed(self, data: bytes, most: int, random: Random) -> bytes:
        """Return a changed value, of at most `most` bytes; unreadable data gives way to a seed."""
        value = _read(data.removeprefix(self._magic))
        if value is None or random.random() < 0.2:
            value = random.choice(self._values)
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            value = _with_change(value, random)
        try:
            return (self._magic + msgspec.msgpack.encode(value))[:most]
        except (OverflowError, ValueError, msgspec.MsgspecError):
            return data[:most]


def _read(data: bytes) -> Any:
    try:
        return _DECODER.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _with_change(value: Any, random: Random) -> Any:
    if isinstance(value, list) and value and random.random() < 0.85:
        at = random.randrange(len(value))
        match random.randrange(8):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value[:at] + [value[at]] * random.randrange(2, _LONGEST) + value[at + 1 :]
            case 2:
                other = random.randrange(len(value))
                return [*value[:at], value[other], *value[at + 1 :]]
            case _:
                return [*value[:at], _with_change(value[at], random), *value[at + 1 :]]
    if isinstance(value, bytes) and value and random.random() < 0.6:
        at = random.randrange(len(value))
        flipped = bytes([value[at] ^ 1 << random.randrange(8)])
        inner = _read(value)
        if isinstance(inner, list):
            return msgspec.msgpack.encode(_with_change(inner, random))
        return random.choice([value[:at] + flipped + value[at + 1 :], value[:at], value + flipped])
    if isinstance(value, int) and not isinstance(value, bool) and random.random() < 0.5:
        return max(-(2**63), min(2**64 - 1, value + random.choice((-1, 1, 255, -(2**32), 2**32))))
    return random.choice(_EDGES)
