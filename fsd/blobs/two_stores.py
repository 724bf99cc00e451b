"""Two blob stores as one, while blobs are moved from one to the other.

New blobs are written to the first one. All others are read from whichever store has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO

from fsd.blobs.base import BlobMissingError, BlobReader, BlobStore, BlobWriter, StoredBlob


class TwoStores:
    """A blob store that writes to one store and reads from two."""

    def __init__(self, first: BlobStore, second: BlobStore) -> None:
        """Take the store for new blobs, and the store that may have other blobs."""
        self.first = first
        self.second = second
        self.delete_after_s = max(first.delete_after_s, second.delete_after_s)
        self.orphan_after_s = max(first.orphan_after_s, second.orphan_after_s)

    def write(self, place: str, remote_id: str = "", offset: int = 0, parts: int = 0) -> BlobWriter:
        """Write to the first store; `UploadGoneError` for an upload that was started elsewhere."""
        return self.first.write(place, remote_id, offset, parts)

    def unfinished(self, place: str) -> BlobReader | None:
        """Return a reader of a blob that is being written to the first store."""
        return self.first.unfinished(place)

    def open(self, place: str, size: int | None = None) -> BlobReader:
        """Return a reader of a blob; its first read raises `BlobMissingError` if it is missing."""
        return _Either((self.first, self.second, self.first), place, size)

    def size(self, place: str) -> int | None:
        """Return the size of a blob; None if there is none."""
        found = self.first.size(place)
        return self.second.size(place) if found is None else found

    def move_out(self, place: str, path: Path) -> None:
        """Move a blob to a new file outside the stores; a missing blob is not an error."""
        has_it = self.first if self.first.size(place) is not None else self.second
        has_it.move_out(place, path)

    def abort(self, places: Iterable[str]) -> None:
        """Delete what was written at places whose blobs are not complete."""
        wanted = list(places)
        self.first.abort(wanted)
        self.second.abort(wanted)

    def delete(self, places: Iterable[str]) -> list[str]:
        """Delete the blobs at places; return the places that are empty in both stores now."""
        return self.second.delete(self.first.delete(places))

    def walk(self) -> Iterator[StoredBlob]:
        """Yield all complete blobs; a blob in both stores comes twice."""
        return chain(self.first.walk(), self.second.walk())

    def scratch(self) -> IO[bytes]:
        """Return a file without a name: in memory while it is small, then on disk."""
        return self.first.scratch()

    def tidy(self, older_than_s: float) -> None:
        """Delete unfinished data that no server has written to for that long."""
        self.first.tidy(older_than_s)
        self.second.tidy(older_than_s)


class _Either:
    """A reader of a blob in the first of some stores that has it.

    The first store comes again at the end: the blob may have been moved since.
    """

    def __init__(self, stores: tuple[BlobStore, ...], place: str, size: int | None) -> None:
        self._left = list(stores)
        self._what = place, size
        self._at = 0
        self._reader: BlobReader | None = None

    def readinto(self, room: memoryview, /) -> int | None:
        while True:
            try:
                if self._reader is None:
                    self._reader = self._left[0].open(*self._what)
                    self._reader.seek(self._at)
                count = self._reader.readinto(room)
            except BlobMissingError:
                self.close()
                if len(self._left) == 1:
                    raise
                del self._left[0]
            else:
                self._at += count or 0
                return count

    def seek(self, to: int) -> None:
        self._at = to
        if self._reader is not None:
            self._reader.seek(to)

    def close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
