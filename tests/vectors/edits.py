"""Changes to stored streams that are too long for a vector."""

from __future__ import annotations

from tests.support.reference import SEGMENT
from tests.vectors import Vector


def edited(stored: bytes, edit: Vector) -> bytes:
    """Return `stored` after the one change that `edit` names."""
    ((what, how),) = edit.items()
    if what == "order":
        segments = [stored[at : at + SEGMENT] for at in range(0, len(stored), SEGMENT)]
        return b"".join(segments[index] for index in how)
    if what == "cut":
        return stored[:how]
    if what == "append":
        return stored + bytes.fromhex(how)
    if what == "xor":
        at, mask = how
        return stored[:at] + bytes([stored[at] ^ mask]) + stored[at + 1 :]
    raise ValueError(what)
