"""Padding of packed values before they are sealed, so that their sizes tell less.

filled = length ‖ packed ‖ zeros up to a multiple of 128
"""

from __future__ import annotations

import struct

from fsproto.limits import METADATA_BLOCK

SHORT = struct.Struct(">H")
"""The length of values below 64 KiB."""
LONG = struct.Struct(">I")


def fill(packed: bytes, length: struct.Struct = SHORT) -> bytes:
    """Return a packed value after its length, padded with zeros."""
    filled = length.pack(len(packed)) + packed
    return filled + bytes(-len(filled) % METADATA_BLOCK)


def unfill(filled: bytes, length: struct.Struct = SHORT) -> bytes | None:
    """Return the packed value; None if `filled` is not exactly what `fill` returns for a value.

    Otherwise its author could choose bytes here, and so seal two values in one ciphertext.
    """
    if len(filled) < length.size:
        return None
    packed = filled[length.size : length.size + length.unpack_from(filled)[0]]
    return packed if filled == fill(packed, length) else None
