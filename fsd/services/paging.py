"""Long answers, cut into parts that fit into a message each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from fsproto.limits import PART_BYTES

_REST = 4096
"""Bytes that an item may have beside what is counted: a share's manifest, a sealed key."""
T = TypeVar("T")


def parts(
    items: list[T], size: Callable[[T], int], *, rest: int = _REST
) -> Iterator[tuple[list[T], bool]]:
    """Cut an answer into parts, and tell whether more follow; nothing is one empty part.

    Of each item so many bytes are counted as `size` says, and a `rest` beside them.
    """
    part: list[T] = []
    so_far = 0
    for at, item in enumerate(items):
        part.append(item)
        so_far += size(item) + rest
        if so_far > PART_BYTES and at + 1 < len(items):
            yield part, True
            part, so_far = [], 0
    yield part, False
