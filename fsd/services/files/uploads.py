"""Uploads of blobs: those in progress, and those that can be resumed.

A resumable upload is staged from its first byte under a ticket made of its owner and its salt. So
its owner, and no other user, finds it again after the connection or the server has ended. Its
leaves are in memory only, and are computed again from the staged data.
"""

from __future__ import annotations

from functools import partial
from threading import Lock

from fsd.blobs.base import BlobStore, StagedBlob
from fsd.policies import UploadLimits
from fsd.services.files.quotas import UploadSpace
from fsd.workers import IdleWorkers
from fsproto import crypto
from fsproto.errors import ConflictError, IntegrityError, OutOfSpaceError, RemoteProtocolError
from fsproto.limits import SEGMENT_SIZE
from fsproto.sealed import integrity
from fsproto.types import Root, Salt


class StagedUpload:
    """A blob that is being received: written and hashed segment by segment."""

    def __init__(
        self,
        owner: int,
        salt: Salt,
        staged: StagedBlob,
        *,
        most: int | None,
        spare: IdleWorkers,
        resumable: bool = False,
        leaves: list[bytes] | None = None,
    ) -> None:
        """Take the file that it is written to, and the leaves of the segments it already has.

        The threads of `spare` may hash data while it is written.
        """
        self.owner = owner
        self.salt = salt
        self.staged = staged
        self.resumable = resumable
        self.lock = Lock()
        """Held while it is written to, finished, or taken over."""
        self.over = False
        """Whether it was finished, given up, suspended, or taken over by another connection."""
        self.space: UploadSpace | None = None
        """The room that is reserved for it, once it is."""
        self._leaves = leaves or []
        self._size = len(self._leaves) * SEGMENT_SIZE
        self._most = most
        self._spare = spare

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
                partial(self.staged.write, segment),
            )
            self._leaves.append(leaf)
            self._size += len(segment)

    def must_go_on(self) -> None:
        """Raise `ConflictError` if the upload has ended."""
        if self.over:
            raise ConflictError("This upload continues over another connection.")

    def check(self, root: Root, size: int) -> None:
        """Raise `IntegrityError` unless the received data has this root and size."""
        if not self._leaves or size != self._size:
            raise IntegrityError("The upload is not complete.")
        if not crypto.equal(integrity.root(self.salt, self._leaves, size), root):
            raise IntegrityError("The upload was damaged in transit: its salted hash differs.")

    def whole_leaves(self) -> list[bytes]:
        """Return the leaves of the complete segments."""
        return self._leaves[: self._size // SEGMENT_SIZE]


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


class StagedUploads:
    """The uploads of this process, and the suspended uploads in the store."""

    def __init__(
        self, store: BlobStore, limits: UploadLimits, most: int | None, spare: IdleWorkers
    ) -> None:
        """Take the blob store, the limits, the largest blob in bytes, and spare threads."""
        self._store = store
        self._limits = limits
        self._blob = partial(StagedUpload, most=most, spare=spare)
        self._lock = Lock()
        self._active: dict[int, set[StagedUpload]] = {}

    def begin(self, owner: int, salt: Salt, *, resumable: bool) -> StagedUpload:
        """Start an upload of a blob; discard an earlier part of it."""
        if not resumable:
            return self._enter(self._blob(owner, salt, self._store.stage()))
        before = self._find(owner, salt)
        if before is not None:
            self.discard(before)
        staged = self._store.stage(_ticket(owner, salt))
        return self._enter(self._blob(owner, salt, staged, resumable=True))

    def resume(self, owner: int, salt: Salt) -> tuple[StagedUpload, int] | None:
        """Resume an upload; return it and the number of segments it has; None if there is none.

        If another connection still has the upload, that connection loses it.
        """
        before = self._find(owner, salt)
        leaves = None
        if before is not None:
            with before.lock:  # wait until the other connection has written its segment
                if not before.over and before.staged.is_current():
                    leaves, staged = before.whole_leaves(), before.staged
                    staged.write_from(len(leaves) * SEGMENT_SIZE)
                before.over = True
            self._leave(before)
        if leaves is None:
            found = self._store.staged(_ticket(owner, salt))
            if found is None:
                return None
            leaves, staged = _hashed(salt, found), found
        blob = self._blob(owner, salt, staged, resumable=True, leaves=leaves)
        if not leaves:
            staged.discard()
            return None
        return self._enter(blob), len(leaves)

    def suspend(self, blob: StagedUpload) -> None:
        """Keep the received part of an upload whose connection has ended, if it can be resumed."""
        with blob.lock:
            if blob.over:
                return
            blob.over = True
            if blob.resumable and blob.whole_leaves():
                blob.staged.let_go()
            else:
                blob.staged.discard()
        self._leave(blob)
        if blob.space is not None:
            blob.space.let_go()
        if blob.resumable:
            self._make_room(blob.owner)

    def discard(self, blob: StagedUpload) -> None:
        """Discard an upload; harmless if it has ended."""
        with blob.lock:
            was_over, blob.over = blob.over, True
            if not was_over:
                blob.staged.discard()
        self._leave(blob)
        if blob.space is not None and not was_over:
            blob.space.let_go()

    def _find(self, owner: int, salt: Salt) -> StagedUpload | None:
        with self._lock:
            mine = self._active.get(owner, ())
            return next((one for one in mine if one.resumable and one.salt == salt), None)

    def _enter(self, blob: StagedUpload) -> StagedUpload:
        with self._lock:
            mine = self._active.setdefault(blob.owner, set())
            if len(mine) < self._limits.active:
                mine.add(blob)
                return blob
        blob.over = True
        if blob.resumable and blob.whole_leaves():
            blob.staged.let_go()
        else:
            blob.staged.discard()
        raise OutOfSpaceError("You have too many uploads in progress.")

    def _leave(self, blob: StagedUpload) -> None:
        with self._lock:
            mine = self._active.get(blob.owner, set())
            mine.discard(blob)
            if not mine:
                self._active.pop(blob.owner, None)

    def suspended_bytes(self, owner: int, besides: Salt) -> int:
        """Return the bytes of a user's suspended uploads, except the one with a salt."""
        mine = _ticket(owner, besides)
        return sum(self._store.staged_size(one) for one in self._suspended(owner) if one != mine)

    def _suspended(self, owner: int) -> list[str]:
        """Return the tickets of a user's suspended uploads, the oldest first."""
        with self._lock:
            active = {_ticket(owner, one.salt) for one in self._active.get(owner, ())}
        return [one for one in self._store.tickets(f"{owner}-") if one not in active]

    def _make_room(self, owner: int) -> None:
        """Delete the oldest suspended uploads if there are more than the limit."""
        kept = self._suspended(owner)
        for ticket in kept[: max(0, len(kept) - self._limits.suspended)]:
            self._store.drop(ticket)


def drop_suspended(store: BlobStore, owner: int) -> None:
    """Delete the suspended uploads of a deleted user."""
    for ticket in store.tickets(f"{owner}-"):
        store.drop(ticket)


def _ticket(owner: int, salt: Salt) -> str:
    return f"{owner}-{salt.hex()}"


def _hashed(salt: Salt, staged: StagedBlob) -> list[bytes]:
    """Return the leaves of the complete staged segments; writing continues after them."""
    leaves = [
        integrity.leaf(salt, index, piece)
        for index, piece in enumerate(staged.pieces(SEGMENT_SIZE))
        if len(piece) == SEGMENT_SIZE
    ]
    staged.write_from(len(leaves) * SEGMENT_SIZE)
    return leaves
