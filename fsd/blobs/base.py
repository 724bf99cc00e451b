"""What a blob store can do, wherever it lies.

A blob is named by its root (32 bytes). It is staged first and gets that name when it is whole and
safely stored; so whatever has a root for its name is complete. What is staged may have a *ticket*,
a name of its own by which it is found again after its connection, or this program, has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class StagedBlob(Protocol):
    """A blob that is being received."""

    def write(self, data: bytes | memoryview) -> None:
        """Append; `OutOfSpaceError` if there is no room."""

    def pieces(self, size: int) -> Iterator[memoryview]:
        """Return what was written so far in pieces of `size` bytes, the last one shorter.

        A piece is overwritten by the next one.
        """

    def cut(self, size: int) -> None:
        """Keep the first `size` bytes; what is written next follows them."""

    def keep(self, root: bytes) -> None:
        """Make it durable under its name; only then does this return."""

    def let_go(self) -> None:
        """Leave it as it is, to be opened again by its ticket; harmless after `keep`."""

    def discard(self) -> None:
        """Forget it; harmless after `keep`."""


class BlobReader(Protocol):
    """A blob that is being sent; stays readable even if it is deleted meanwhile."""

    def readinto(self, room: memoryview, /) -> int | None:
        """Fill `room` with the next bytes, or a part of it; 0 only at the end."""

    def seek(self, to: int) -> object:
        """Continue reading at byte `to`."""

    def close(self) -> None:
        """Let go of it."""


class BlobStore(Protocol):
    """A place for blobs that are too large for the database."""

    def stage(self, ticket: str | None = None) -> StagedBlob:
        """Begin a blob; with a ticket, in place of whatever was staged under that."""

    def staged(self, ticket: str) -> StagedBlob | None:
        """Open what was let go of under a ticket, or left behind by a crash; None if it is gone."""

    def tickets(self, beginning: str) -> list[str]:
        """Return the tickets that begin so, the one that was written to last at the end."""

    def drop(self, ticket: str) -> None:
        """Delete what is staged under a ticket; what is not there is deleted already."""

    def open(self, root: bytes) -> BlobReader:
        """Open a blob; `IntegrityError` if it has gone missing."""

    def delete(self, root: bytes) -> None:
        """Delete a blob; one that is not there is deleted already."""

    def names(self, older_than_s: float) -> Iterator[bytes]:
        """Return the roots of blobs that were kept that long ago."""

    def tidy(self, older_than_s: float, tickets_older_than_s: float) -> None:
        """Delete what was staged that long ago, without and with a ticket, and never kept."""
