"""Long answers in parts that fit into a message each, read from the database as they are sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from typing import IO, TypeVar

from fsd.blobs.local import explained
from fsproto.limits import PART_BYTES

_REST = 4096
"""Bytes that an item may have in addition to its counted size: a share's manifest, a sealed key."""
_LENGTH = 4
"""Bytes of the length in front of a stored item."""
T = TypeVar("T")


def following(read: Callable[[T | None], Sequence[T]]) -> Iterator[T]:
    """Yield all items of a query, a page at a time.

    `read` returns some items after a given one (None: the first ones), and none after the last.
    Each page is a transaction of its own: a client that does not read holds none open.
    """
    last = None
    while page := read(last):
        yield from page
        last = page[-1]


def stored(items: Iterable[bytes], file: IO[bytes]) -> Iterator[bytes]:
    """Write all items into a file now; return an iterator that reads them, and closes the file.

    `OutOfSpaceError` if the disk is full.
    """
    try:
        with explained():
            for item in items:
                file.write(len(item).to_bytes(_LENGTH) + item)
            file.seek(0)
    except BaseException:
        with suppress(OSError):  # the full disk again
            file.close()
        raise
    return _read_again(file)


def _read_again(file: IO[bytes]) -> Iterator[bytes]:
    with closing(file):
        while length := file.read(_LENGTH):
            yield file.read(int.from_bytes(length))


def parts(
    items: Iterable[T], size: Callable[[T], int], *, rest: int = _REST
) -> Iterator[tuple[list[T], bool]]:
    """Yield an answer in parts, each with whether more follow; no items give one empty part.

    Each item counts as the bytes that `size` returns, plus `rest`.
    """
    part: list[T] = []
    so_far = 0
    for item in items:
        if so_far > PART_BYTES:
            yield part, True
            part, so_far = [], 0
        part.append(item)
        so_far += size(item) + rest
    yield part, False
