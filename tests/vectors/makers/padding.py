"""Values with a wrong padding, for the vectors of everything that is padded before it is sealed."""

from __future__ import annotations

import struct

_BLOCK = 128


def padded(packed: bytes, length: str = ">H") -> bytes:
    """Return a value as it is padded before it is sealed: length, value, zeros."""
    filled = struct.pack(length, len(packed)) + packed
    return filled + bytes(-len(filled) % _BLOCK)


def wrong_paddings(packed: bytes, length: str = ">H") -> dict[str, bytes]:
    """Return the value with each fault of the padding, by its name in a vector."""
    good = padded(packed, length)
    head = struct.pack(length, len(packed))
    return {
        "without_length": b"\0",
        "length_beyond_end": struct.pack(length, len(good)) + good[len(head) :],
        "padding_missing": head + packed,
        "padding_not_zero": good[:-1] + b"\1",
        "padding_too_long": good + bytes(_BLOCK),
    }
