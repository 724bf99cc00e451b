"""The interface of a blob store.

A blob is named by its root (32 bytes). It is staged first and gets that name when it is complete
and durable, so a blob with a root as its name is always complete. A staged blob may have a
*ticket*: a name by which it is found again after its connection, or the server, has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Protocol


class StagedBlob(Protocol):
    """A blob that is being received."""

    def write(self, data: bytes | memoryview) -> None:
        """Append; `OutOfSpaceError` if there is no space."""

    def pieces(self, size: int) -> Iterator[memoryview]:
        """Return the data written so far in pieces of `size` bytes; the last may be shorter.

        A piece is overwritten by the next one.
        """

    def write_from(self, offset: int) -> None:
        """Continue writing at byte `offset`, over the bytes that are there.

        Nothing is truncated: another process may have resumed or finished the same upload.
        """

    def is_current(self) -> bool:
        """Return whether the blob is still staged, and not stored, replaced or deleted."""

    def keep(self, root: bytes, size: int) -> None:
        """Make the blob durable under its name before returning.

        `IntegrityError` unless it has `size` bytes.
        """

    def let_go(self) -> None:
        """Close it, so that it can be opened again by its ticket; harmless after `keep`."""

    def discard(self) -> None:
        """Delete the staged blob; harmless after `keep`."""


class BlobReader(Protocol):
    """A reader of a blob; it stays readable even if the blob is deleted in the meantime."""

    def readinto(self, room: memoryview, /) -> int | None:
        """Fill `room` with the next bytes, or a part of it; 0 only at the end."""

    def seek(self, to: int) -> object:
        """Continue reading at byte `to`."""

    def close(self) -> None:
        """Close the reader."""


class BlobStore(Protocol):
    """A place for blobs that are too large for the database."""

    def stage(self, ticket: str | None = None) -> StagedBlob:
        """Start a blob; with a ticket, it replaces the blob staged under that ticket."""

    def staged(self, ticket: str) -> StagedBlob | None:
        """Open the blob staged under a ticket, also after a crash; None if there is none."""

    def tickets(self, beginning: str) -> list[str]:
        """Return the tickets that start with a prefix, the most recently written last."""

    def staged_size(self, ticket: str) -> int:
        """Return the bytes staged under a ticket; 0 if there are none."""

    def drop(self, ticket: str) -> None:
        """Delete the blob staged under a ticket; a missing one is not an error."""

    def scratch(self) -> IO[bytes]:
        """Return a file without a name: in memory while it is small, then on disk."""

    def open(self, root: bytes) -> BlobReader:
        """Open a blob; `IntegrityError` if it has gone missing."""

    def delete(self, root: bytes) -> None:
        """Delete a blob; a missing one is not an error."""

    def names(self, older_than_s: float) -> Iterator[bytes]:
        """Return the roots of blobs that were stored at least that long ago."""

    def tidy(self, older_than_s: float, tickets_older_than_s: float) -> None:
        """Delete blobs staged at least that long ago (without, and with, a ticket)."""
