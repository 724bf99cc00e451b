"""A blob that is written as it arrives: its place, its parts, and its writer."""

from __future__ import annotations

from collections.abc import Sequence

from fsd.blobs.base import BlobStore, BlobWriter


class BlobStream:
    """The bytes of one new blob, in order."""

    def __init__(self, store: BlobStore, place: str) -> None:
        """Take the store and a new place in it."""
        self._store = store
        self.place = place
        self._writer: BlobWriter | None = None
        self._tags: list[str] = []
        self.size = 0
        """Bytes written."""
        self.in_parts = 0
        """Bytes of the ended parts."""
        self._is_finished = False

    def resume(self, remote_id: str, tags: Sequence[str], size: int) -> None:
        """Continue after some parts of `size` bytes; `UploadGoneError` if they are lost."""
        self._writer = self._store.write(self.place, remote_id, size, len(tags))
        self._tags = list(tags)
        self.size = self.in_parts = size

    @property
    def remote_id(self) -> str:
        """The store's own name of the upload; it may be empty."""
        return self._opened.remote_id

    @property
    def needs_part(self) -> bool:
        """Whether a part must be ended before the next write."""
        size = self._opened.part_size
        return size is not None and self.size - self.in_parts >= size

    @property
    def may_end_part(self) -> bool:
        """Whether a part may be ended now."""
        return self.size > self.in_parts and (self._opened.part_size is None or self.needs_part)

    @property
    def parts(self) -> int:
        """The number of ended parts."""
        return len(self._tags)

    def write(self, data: bytes | memoryview) -> None:
        """Append; `OutOfSpaceError` if there is no room."""
        self._opened.write(data)
        self.size += len(data)

    def end_part(self) -> str:
        """End a part at the bytes written so far; return its tag."""
        tag = self._opened.end_part()
        self._tags.append(tag)
        self.in_parts = self.size
        return tag

    def finish(self) -> None:
        """Make the blob complete and durable at its place; harmless if it is."""
        if self._is_finished:
            return
        writer = self._opened
        if self._tags and self.size > self.in_parts and writer.part_size is not None:
            self.end_part()
        writer.finish(self._tags, self.size)
        self._is_finished = True

    def close(self) -> None:
        """Release memory and descriptors; what the store has of it stays."""
        if self._writer is not None:
            self._writer.close()

    def abort(self) -> None:
        """Delete what was written; the place must not be claimed by anybody."""
        self.close()
        self._store.abort([self.place])

    @property
    def _opened(self) -> BlobWriter:
        if self._writer is None:
            self._writer = self._store.write(self.place)
        return self._writer
