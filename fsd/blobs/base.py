"""What a blob store can do, wherever it lies.

A blob is named by its root (32 bytes). It is staged first, without a name, and gets its name
when it is whole and safely stored; so whatever has a name is complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class StagedBlob(Protocol):
    """A blob that is being received."""

    def write(self, data: bytes | memoryview) -> None:
        """Append; `OutOfSpaceError` if there is no room."""

    def keep(self, root: bytes) -> None:
        """Make it durable under its name; only then does this return."""

    def discard(self) -> None:
        """Forget it; harmless after `keep`."""


class BlobReader(Protocol):
    """A blob that is being sent; stays readable even if it is deleted meanwhile."""

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer only at the end."""

    def close(self) -> None:
        """Let go of it."""


class BlobStore(Protocol):
    """A place for blobs that are too large for the database."""

    def stage(self) -> StagedBlob:
        """Begin a blob."""

    def open(self, root: bytes) -> BlobReader:
        """Open a blob; `IntegrityError` if it has gone missing."""

    def delete(self, root: bytes) -> None:
        """Delete a blob; one that is not there is deleted already."""

    def names(self, older_than_s: float) -> Iterator[bytes]:
        """Return the roots of blobs that were kept that long ago."""

    def tidy(self, older_than_s: float) -> None:
        """Delete what was staged that long ago and never kept."""
