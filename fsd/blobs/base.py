"""The interface of a blob store.

A blob has a *place* in the store: a name that is used once, for one blob. The database has a row of
the place before its first byte is written (`places.py`). A blob is at its place only when it is
complete and durable. Any server may write or finish any upload, and a server that was frozen may
write again, late: so no operation truncates, and which server counts is decided in the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from fsproto.errors import ConflictError, IntegrityError, InternalError


class UploadGoneError(ConflictError):
    """The blob store has lost an unfinished upload."""

    default_hint = "Give the same command again."


class BlobMissingError(IntegrityError):
    """The server has lost the content of this file."""


class StoreUnavailableError(InternalError):
    """The object store of the server fails, or does not answer."""


class StoredBlob(NamedTuple):
    """A blob in the store."""

    place: str
    size: int
    age_s: float


class BlobWriter(Protocol):
    """Bytes of one blob, written in order from some byte on.

    `end_part` ends a part. A store that takes parts of a minimum size (`part_size`) needs each of
    them ended when it is reached; other stores need no parts.
    """

    @property
    def part_size(self) -> int | None:
        """Bytes of the next part, unless it is the last; None if it may have any size."""

    @property
    def remote_id(self) -> str:
        """The store's own name of the upload; empty before its first part, and in some stores."""

    def write(self, data: bytes | memoryview) -> None:
        """Append; `OutOfSpaceError` if there is no space, `UploadGoneError` if it was aborted."""

    def end_part(self) -> str:
        """Store the bytes since the last part; return what `finish` needs to know of them."""

    def finish(self, tags: Sequence[str], size: int) -> None:
        """Make the blob of `size` bytes complete and durable at its place before returning.

        `tags` are those of all ended parts, in order. `IntegrityError` if bytes are missing.
        Harmless if another server has finished it.
        """

    def close(self) -> None:
        """Release memory and descriptors; ended parts stay. Harmless after `finish`."""


class BlobReader(Protocol):
    """A reader of a blob; it stays readable for a while even if the blob is deleted meanwhile."""

    def readinto(self, room: memoryview, /) -> int | None:
        """Fill `room` with the next bytes, or a part of it; 0 only at the end."""

    def seek(self, to: int) -> object:
        """Continue reading at byte `to`."""

    def close(self) -> None:
        """Close the reader."""


class BlobStore(Protocol):
    """A place for blobs that are too large for the database."""

    delete_after_s: float
    """Seconds that readers may still need a blob after its row is deleted."""
    orphan_after_s: float
    """Age in seconds from which a check reports a blob that no row names."""

    def write(self, place: str, remote_id: str = "", offset: int = 0, parts: int = 0) -> BlobWriter:
        """Start to write a blob, or continue after its first `parts` parts, at byte `offset`.

        `UploadGoneError` if the parts are lost.
        """

    def unfinished(self, place: str) -> BlobReader | None:
        """Return a reader of a blob that is being written; None if the store cannot read it."""

    def open(self, place: str, size: int | None = None) -> BlobReader:
        """Open a blob; `BlobMissingError`, perhaps only from its first read, if it is missing.

        `size`, if it is known, lets a store notice that it returns something else.
        """

    def size(self, place: str) -> int | None:
        """Return the size of a blob; None if there is none."""

    def move_out(self, place: str, path: Path) -> None:
        """Move a blob to a new file outside the store; a missing blob is not an error."""

    def abort(self, places: Iterable[str]) -> None:
        """Delete what was written at places whose blobs are not complete."""

    def delete(self, places: Iterable[str]) -> list[str]:
        """Delete the blobs at places, complete or not; return the places that are empty now.

        A missing blob is not an error. The log names a blob that cannot be deleted.
        """

    def walk(self) -> Iterator[StoredBlob]:
        """Yield all complete blobs."""

    def scratch(self) -> IO[bytes]:
        """Return a file without a name: in memory while it is small, then on disk."""

    def tidy(self, older_than_s: float) -> None:
        """Delete unfinished data that no server has written to for that long."""


def release(store: BlobStore, places: Sequence[str]) -> None:
    """Delete blobs after the transaction that doomed their places, if no reader needs them.

    The garbage collection deletes what is left here, and the rows of the places.
    """
    if places and not store.delete_after_s:
        store.delete(places)
