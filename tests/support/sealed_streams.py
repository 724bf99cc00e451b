"""Whole sealed streams, segment by segment as a sender makes and a receiver opens them."""

from __future__ import annotations

import pytest

from fsproto.errors import IntegrityError
from fsproto.limits import SEGMENT_SIZE
from fsproto.sealed.integrity import SALT_SIZE
from fsproto.sealed.stream import (
    HEADER_SIZE,
    StreamOpener,
    StreamSealer,
    plain_length,
    stored_segment_count,
)
from fsproto.types import FileKey, Random, Salt


def seal_stream(key: FileKey, associated_data: bytes, plaintext: bytes, random: Random) -> bytes:
    """Return the stored stream."""
    return b"".join(seal_segments(key, associated_data, plaintext, random))


def seal_segments(
    key: FileKey, associated_data: bytes, plaintext: bytes, random: Random
) -> list[bytes]:
    """Return the stored segments."""
    sealer = StreamSealer(key, associated_data, Salt(random(SALT_SIZE)))
    segments: list[bytes] = []
    at = 0
    while at < len(plaintext) or not segments:
        index = len(segments)
        piece = plaintext[at : at + plain_length(index)]
        at += len(piece)
        segments.append(sealer.seal(index, piece, last=at == len(plaintext)))
    return segments


def open_stream(key: FileKey, associated_data: bytes, stored: bytes) -> bytes:
    """Return the plaintext of a stored stream; `IntegrityError` if any part of it is wrong."""
    view = memoryview(stored)
    opener = StreamOpener(key, associated_data, stored[:HEADER_SIZE])
    count = stored_segment_count(len(stored))
    return b"".join(
        _opened(
            opener,
            index,
            view[index * SEGMENT_SIZE : (index + 1) * SEGMENT_SIZE],
            last=index == count - 1,
        )
        for index in range(count)
    )


def _opened(opener: StreamOpener, index: int, segment: memoryview, *, last: bool) -> bytes:
    """Open a segment in new and in given memory; both results must be equal."""
    given = memoryview(bytearray(SEGMENT_SIZE))
    try:
        plaintext = opener.open(index, segment, last=last)
    except IntegrityError:
        with pytest.raises(IntegrityError):
            opener.open_into(index, segment, given, last=last)
        raise
    assert opener.open_into(index, segment, given, last=last) == plaintext
    return plaintext
