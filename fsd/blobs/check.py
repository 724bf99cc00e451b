"""Compares a stored blob with its root, a segment at a time."""

from __future__ import annotations

from typing import Protocol

from fsd.blobs.base import BlobReader
from fsproto.limits import SEGMENT_SIZE
from fsproto.sealed import integrity
from fsproto.types import Root, Salt


class ByteSource(Protocol):
    """A source of bytes; it returns fewer than requested only at the end."""

    def read(self, size: int, /) -> bytes | None:
        """Return the next bytes."""


class StoredBytes:
    """A reader of a blob store as a `ByteSource`."""

    def __init__(self, reader: BlobReader) -> None:
        """Take the reader."""
        self._reader = reader

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""
        data, have = bytearray(size), 0
        while have < size and (count := self._reader.readinto(memoryview(data)[have:])):
            have += count
        return bytes(data[:have])

    def close(self) -> None:
        """Close the reader."""
        self._reader.close()


class Hashed:
    """Reads a blob in whole segments, returns the bytes, and computes the root."""

    def __init__(self, source: ByteSource, salt: Salt) -> None:
        """Initialise with the source of the blob, and the salt of its hash (32 bytes)."""
        self._source = source
        self._salt = salt
        self._leaves: list[bytes] = []
        self.size = 0
        """Bytes read so far."""

    def read(self, size: int = SEGMENT_SIZE) -> bytes:
        """Return the next segment; empty at the end. Only the last request may be shorter."""
        data = b""
        while len(data) < size and (more := self._source.read(size - len(data))):
            data += more
        if data:
            self._leaves.append(integrity.leaf(self._salt, len(self._leaves), data))
            self.size += len(data)
        return data

    @property
    def root(self) -> Root:
        """The root of the bytes that were read."""
        return integrity.root(self._salt, self._leaves, self.size)


def root_of(source: ByteSource, salt: Salt) -> tuple[Root, int]:
    """Read a blob to its end; return its root and its size in bytes."""
    hashed = Hashed(source, salt)
    while hashed.read():
        pass
    return hashed.root, hashed.size
