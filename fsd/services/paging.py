"""Long answers, cut into parts that fit into a message each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from fsproto.limits import PART_BYTES

_REST = 4096
"""Bytes that an item may have in addition to its counted size: a share's manifest, a sealed key."""
T = TypeVar("T")


def parts(
    items: list[T], size: Callable[[T], int], *, rest: int = _REST
) -> Iterator[tuple[list[T], bool]]:
    """Yield an answer in parts, each with whether more follow; no items give one empty part.

    Each item counts as the bytes that `size` returns, plus `rest`.
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
