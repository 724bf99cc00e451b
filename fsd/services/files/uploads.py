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
        """Take the place it is written to, and the leaves of what is there already.

        `spare` may hash while it is written.
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
        """Take the next segment; `RemoteProtocolError` for any but that one."""
        with self.lock:
            self.must_go_on()
            if index != len(self._leaves) or self._size % SEGMENT_SIZE:
                raise RemoteProtocolError("A segment came out of order.")
            if not 0 < len(segment) <= SEGMENT_SIZE:
                raise RemoteProtocolError("A segment is empty or too long.")
            if self._most is not None and self._size + len(segment) > self._most:
                raise OutOfSpaceError("The file is larger than this server takes.")
            if self.space is not None:
                self.space.cover(self._size + len(segment))
            leaf = self._spare.beside(
                partial(integrity.leaf, self.salt, index, segment),
                partial(self.staged.write, segment),
            )
            self._leaves.append(leaf)
            self._size += len(segment)

    def must_go_on(self) -> None:
        """Raise `ConflictError` if it is over."""
        if self.over:
            raise ConflictError("This upload goes on over another connection.")

    def check(self, root: Root, size: int) -> None:
        """Raise `IntegrityError` unless all that came has this root and size."""
        if not self._leaves or size != self._size:
            raise IntegrityError("The upload is not complete.")
        if not crypto.equal(integrity.root(self.salt, self._leaves, size), root):
            raise IntegrityError("The upload was damaged on its way: its salted hash differs.")

    def whole_leaves(self) -> list[bytes]:
        """Forget a last segment that is not full; return the leaves of the others."""
        leaves = self._leaves[: self._size // SEGMENT_SIZE]
        self.staged.cut(len(leaves) * SEGMENT_SIZE)
        return leaves


class FinishedUpload:
    """A blob that was finished and not committed; its sender only wants to know that it is."""

    def __init__(self, root: bytes, size: int) -> None:
        """Take what it is known by."""
        self.root = root
        self.size = size

    def add(self, index: int, segment: memoryview) -> None:
        """Refuse: there is nothing missing."""
        raise RemoteProtocolError("A segment came for a blob that is whole.")

    def check(self, root: Root, size: int) -> None:
        """Raise `IntegrityError` unless it has this root and size."""
        if (root, size) != (self.root, self.size):
            raise IntegrityError("What was uploaded before is another file.")


class StagedUploads:
    """All blobs that are being received by this process, and what is suspended in the store."""

    def __init__(
        self, store: BlobStore, limits: UploadLimits, most: int | None, spare: IdleWorkers
    ) -> None:
        """Take where they are staged, the largest blob in bytes that is taken in, and helpers."""
        self._store = store
        self._limits = limits
        self._blob = partial(StagedUpload, most=most, spare=spare)
        self._lock = Lock()
        self._active: dict[int, set[StagedUpload]] = {}

    def begin(self, owner: int, salt: Salt, *, resumable: bool) -> StagedUpload:
        """Begin a blob, in place of what there is of it."""
        if not resumable:
            return self._enter(self._blob(owner, salt, self._store.stage()))
        before = self._find(owner, salt)
        if before is not None:
            self.discard(before)
        staged = self._store.stage(_ticket(owner, salt))
        return self._enter(self._blob(owner, salt, staged, resumable=True))

    def resume(self, owner: int, salt: Salt) -> tuple[StagedUpload, int] | None:
        """Go on with a resumable blob; return it and how many segments there are; None if none.

        If it still is under way over another connection, that one has lost it from now on.
        """
        before = self._find(owner, salt)
        leaves = None
        if before is not None:
            with before.lock:  # a segment that is just being written, or its end, comes first
                if not before.over:
                    leaves, staged = before.whole_leaves(), before.staged
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
        """Keep the received part of a blob whose connection has ended, if it can be resumed."""
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
        """Forget a blob; harmless once it is over."""
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
        raise OutOfSpaceError("You have as many uploads under way as this server allows.")

    def _leave(self, blob: StagedUpload) -> None:
        with self._lock:
            mine = self._active.get(blob.owner, set())
            mine.discard(blob)
            if not mine:
                self._active.pop(blob.owner, None)

    def _make_room(self, owner: int) -> None:
        """Delete what was suspended first, where there is more than may be kept."""
        with self._lock:
            active = {_ticket(owner, one.salt) for one in self._active.get(owner, ())}
        kept = [one for one in self._store.tickets(f"{owner}-") if one not in active]
        for ticket in kept[: -self._limits.suspended]:
            self._store.drop(ticket)


def drop_suspended(store: BlobStore, owner: int) -> None:
    """Delete the suspended uploads of a deleted user."""
    for ticket in store.tickets(f"{owner}-"):
        store.drop(ticket)


def _ticket(owner: int, salt: Salt) -> str:
    return f"{owner}-{salt.hex()}"


def _hashed(salt: Salt, staged: StagedBlob) -> list[bytes]:
    """Return the leaves of the whole segments that are staged, and cut off the rest."""
    leaves = [
        integrity.leaf(salt, index, piece)
        for index, piece in enumerate(staged.pieces(SEGMENT_SIZE))
        if len(piece) == SEGMENT_SIZE
    ]
    staged.cut(len(leaves) * SEGMENT_SIZE)
    return leaves
