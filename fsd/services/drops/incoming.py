"""An incoming drop: plaintext arrives, and only sealed segments are written to the disk.

Clients send several writes at once, and may send them slightly out of order. Early data waits in
memory, up to a few MiB. A write over earlier data is refused, because that data is already sealed:
one segment is never sealed twice (`fsproto.sealed.stream` says why).
"""

from __future__ import annotations

from fsd.blobs.base import BlobStore
from fsd.blobs.places import Places
from fsd.blobs.stream import BlobStream
from fsproto.drop import DropContent, content_ad
from fsproto.errors import ConflictError, NotAllowedError, OutOfSpaceError
from fsproto.limits import MAX_INLINE_BLOB, SEGMENT_SIZE
from fsproto.sealed import integrity, stream
from fsproto.types import DropId, FileKey, Salt

WINDOW = 4 << 20
"""Bytes that may arrive before the bytes that precede them."""


class StreamingEncryptor:
    """An encryptor that seals the data of one drop as it arrives."""

    def __init__(
        self,
        blobs: BlobStore,
        places: Places,
        drop: DropId,
        file_key: FileKey,
        salt: Salt,
        *,
        most: int,
    ) -> None:
        """Take the blob store, the keys, and the maximum plaintext size in bytes (`most`)."""
        self._blobs = blobs
        self._places = places
        self._salt = salt
        self._most = most
        self._sealer: stream.StreamSealer | None = stream.StreamSealer(
            file_key, content_ad(drop), salt
        )
        self._plain = bytearray()
        """Plaintext of the next segment."""
        self._sealed = memoryview(b"")
        self._leaves: list[bytes] = []
        self._stored = 0
        self._staged: BlobStream | None = None
        self._early: dict[int, bytes] = {}
        self._waiting = 0
        """Bytes in them."""
        self.size = 0
        """Bytes received without a gap."""

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Take bytes at an offset: at the end of the received bytes, or a little after it.

        `NotAllowedError` for any other place; `OutOfSpaceError` for too much.
        """
        end = offset + len(data)
        if end > self._most:
            raise OutOfSpaceError("The file is larger than what may be dropped here.")
        if not data:
            return
        if offset < self.size or offset in self._early:
            raise NotAllowedError(
                "Sent data is sealed at once and cannot be written over.",
                hint="A drop is written once, from its beginning to its end.",
            )
        if offset > self.size:
            # Overlapping pieces count in full; otherwise many of them could exceed the window.
            self._waiting += len(data)
            if end > self.size + WINDOW or self._waiting > WINDOW:
                raise NotAllowedError(
                    "A drop must be written from its beginning to its end.",
                    hint="This drop has data far beyond its end; nothing of it is kept.",
                )
            self._early[offset] = bytes(data)
            return
        self._take(memoryview(data))
        while (early := self._early.pop(self.size, None)) is not None:
            self._waiting -= len(early)
            self._take(memoryview(early))

    def finish(self) -> tuple[DropContent, bytes | None]:
        """Seal the end and make the drop durable; return its content record, and its data if small.

        A larger drop is in the blob store from now on. `ConflictError` if bytes are missing.
        """
        if self._early:
            raise ConflictError(
                "Bytes are missing in the middle of the file; nothing of it was kept."
            )
        segment = self._seal(last=True)
        self._sealer = None  # and the key with it
        whole = bytes(segment) if self._staged is None else None
        if whole is None or len(whole) > MAX_INLINE_BLOB:
            self._store(segment)
            whole = None
        root = integrity.root(self._salt, self._leaves, self._stored)
        if self._staged is not None:
            self._staged.finish()
        self._plain, self._sealed = bytearray(), memoryview(b"")
        return DropContent(self._salt, root, self._stored), whole

    def abort(self) -> None:
        """Discard the drop; harmless after `finish`."""
        self._sealer = None
        self._early.clear()
        self._plain, self._sealed = bytearray(), memoryview(b"")
        if self._staged is not None:
            self._staged.abort()
            self._places.give_up(self._staged.place, was_written=True)

    @property
    def place(self) -> str | None:
        """Where the blob store has the drop; None for a small one."""
        return None if self._staged is None else self._staged.place

    def _take(self, data: memoryview) -> None:
        self.size += len(data)
        while data:
            room = stream.plain_length(len(self._leaves)) - len(self._plain)
            if not room:  # there is more, so this one is not the last
                self._store(self._seal(last=False))
                self._plain.clear()
                continue
            self._plain += data[:room]
            data = data[room:]

    def _seal(self, *, last: bool) -> memoryview:
        if self._sealer is None:
            raise ConflictError("This drop is over.")
        index, plain = len(self._leaves), memoryview(bytes(self._plain))
        need = len(plain) + stream.HEADER_SIZE + stream.TAG_SIZE
        if len(self._sealed) < need:
            self._sealed = memoryview(bytearray(need if last else SEGMENT_SIZE))
        size = self._sealer.seal_into(index, plain, self._sealed, last=last)
        segment = self._sealed[:size]
        self._leaves.append(integrity.leaf(self._salt, index, segment))
        self._stored += size
        return segment

    def _store(self, segment: memoryview) -> None:
        if self._staged is None:
            self._staged = BlobStream(self._blobs, self._places.take())
        self._staged.write(segment)
        if self._staged.needs_part:
            self._staged.end_part()
