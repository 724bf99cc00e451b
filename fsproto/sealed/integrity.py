"""The salted SHA-256 over a sealed file, compared before and after the transfer.

    leaf i = SHA-256(salt ‖ u64 i ‖ stored segment i)
    root   = SHA-256(salt ‖ "root" ‖ u64 number of leaves ‖ u64 sealed size ‖ leaf 0 ‖ leaf 1 …)

Integers are big-endian; the salt is 32 random bytes, new for every version. The sender computes
the root first, the server checks it before it commits, and the receiver checks it after the last
segment.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from fsproto import crypto
from fsproto.limits import SEGMENT_SIZE
from fsproto.types import Root, Salt

if TYPE_CHECKING:
    from collections.abc import Sequence

SALT_SIZE = 32
_INDEX = struct.Struct(">Q")
_COUNTS = struct.Struct(">QQ")


def leaf(salt: Salt, index: int, segment: bytes | memoryview) -> bytes:
    """Return the 32-byte leaf of stored segment `index`."""
    return crypto.sha256(salt, _INDEX.pack(index), segment)


def root(salt: Salt, leaves: Sequence[bytes], size: int) -> Root:
    """Return the root over all `leaves` (32 bytes each) of a blob of `size` stored bytes."""
    return Root(crypto.sha256(salt, b"root", _COUNTS.pack(len(leaves), size), *leaves))


def blob_root(salt: Salt, blob: bytes | memoryview) -> Root:
    """Return the root of a whole blob in memory."""
    if len(blob) <= SEGMENT_SIZE:
        return root(salt, [leaf(salt, 0, blob)], len(blob))
    view = memoryview(blob)
    starts = range(0, len(view), SEGMENT_SIZE)
    leaves = [leaf(salt, i, view[at : at + SEGMENT_SIZE]) for i, at in enumerate(starts)]
    return root(salt, leaves, len(view))
