"""One upload of a blob, as its server receives it: written, hashed, and ended part by part."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from threading import Lock

from fsd.blobs.stream import BlobStream
from fsd.services.files.quotas import UploadSpace
from fsd.store.repos.uploads import RecordedPart, UploadKey
from fsd.workers import IdleWorkers
from fsproto import crypto
from fsproto.errors import ConflictError, IntegrityError, OutOfSpaceError, RemoteProtocolError
from fsproto.limits import SEGMENT_SIZE
from fsproto.sealed import integrity
from fsproto.types import Root, Salt

PART_BYTES = 8 << 20
PART_S = 1.0
"""A part is recorded after so many bytes, or after so long. What a lost server had received since,
the client sends again; `docs/scaling.md` has figures."""
ELSEWHERE = "This upload continues over another connection."


class StagedUpload:
    """A blob that is being received: written and hashed segment by segment."""

    def __init__(
        self,
        owner: int,
        salt: Salt,
        stream: BlobStream,
        *,
        most: int | None,
        spare: IdleWorkers,
        record: Callable[[StagedUpload], object],
        resumable: bool = False,
    ) -> None:
        """Take the stream that it is written to, and the function that ends and records a part.

        The threads of `spare` may hash data while it is written.
        """
        self.owner = owner
        self.salt = salt
        self.stream = stream
        self.resumable = resumable
        self.key: UploadKey | None = None
        """The right to its row; None before it has one."""
        self.lock = Lock()
        """Held while it is written to, finished, or taken over."""
        self.over = False
        """Whether it was finished, given up, suspended, or taken over by another connection."""
        self.space: UploadSpace | None = None
        """The room that is reserved for it, once it is."""
        self._leaves: list[bytes] = []
        self._recorded = 0
        """Segments in the parts that were recorded."""
        self._recorded_s = time.monotonic()
        self._size = 0
        self._most = most
        self._spare = spare
        self._record = record

    def continue_after(self, leaves: list[bytes]) -> None:
        """Continue after segments that the stream has, all of them recorded."""
        self._leaves, self._recorded = leaves, len(leaves)
        self._size = len(leaves) * SEGMENT_SIZE

    def add(self, index: int, segment: memoryview) -> None:
        """Take the next segment; `RemoteProtocolError` for any other."""
        with self.lock:
            self.must_go_on()
            if index != len(self._leaves) or self._size % SEGMENT_SIZE:
                raise RemoteProtocolError("A segment arrived out of order.")
            if not 0 < len(segment) <= SEGMENT_SIZE:
                raise RemoteProtocolError("A segment is empty or too long.")
            if self._most is not None and self._size + len(segment) > self._most:
                raise OutOfSpaceError("The file is larger than this server allows.")
            if self.space is not None:
                self.space.cover(self._size + len(segment))
            leaf = self._spare.beside(
                partial(integrity.leaf, self.salt, index, segment),
                partial(self.stream.write, segment),
            )
            self._leaves.append(leaf)
            self._size += len(segment)
            if self._size % SEGMENT_SIZE == 0 and self._is_part():
                self._record(self)

    def _is_part(self) -> bool:
        if not self.resumable or not self.stream.may_end_part:
            return self.stream.needs_part
        large = self.stream.size - self.stream.in_parts >= PART_BYTES
        return self.stream.needs_part or large or time.monotonic() - self._recorded_s >= PART_S

    def must_go_on(self) -> None:
        """Raise `ConflictError` if the upload has ended."""
        if self.over:
            raise ConflictError(ELSEWHERE)

    def check(self, root: Root, size: int) -> None:
        """Raise `IntegrityError` unless the received data has this root and size."""
        if not self._leaves or size != self._size:
            raise IntegrityError("The upload is not complete.")
        if not crypto.equal(integrity.root(self.salt, self._leaves, size), root):
            raise IntegrityError("The upload was damaged in transit: its salted hash differs.")

    @property
    def segments(self) -> int:
        """The number of segments, with a shorter last one."""
        return len(self._leaves)

    @property
    def whole_segments(self) -> int:
        """The number of complete segments."""
        return self._size // SEGMENT_SIZE

    def take_part(self, tag: str) -> RecordedPart:
        """Return the part that has just been ended, to be recorded."""
        leaves = self._leaves[self._recorded : self.whole_segments]
        self._recorded, self._recorded_s = self.whole_segments, time.monotonic()
        return RecordedPart(len(leaves) * SEGMENT_SIZE, tag, b"".join(leaves))

    @property
    def has_unrecorded(self) -> bool:
        """Whether complete segments were received that are in no part."""
        return self.whole_segments > self._recorded


class FinishedUpload:
    """A complete but uncommitted blob; a client that resumes its upload need not send any data."""

    def __init__(self, root: bytes, size: int) -> None:
        """Take the fields that identify it."""
        self.root = root
        self.size = size

    def add(self, index: int, segment: memoryview) -> None:
        """Refuse a segment, for none is missing."""
        raise RemoteProtocolError("A segment arrived for a complete blob.")

    def check(self, root: Root, size: int) -> None:
        """Raise `IntegrityError` unless it has this root and size."""
        if (root, size) != (self.root, self.size):
            raise IntegrityError("The earlier upload was another file.")
