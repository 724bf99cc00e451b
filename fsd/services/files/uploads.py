"""Uploads of blobs: those in progress, and those that can be resumed.

A resumable upload has a row as soon as it has a part (`Upload`), with the leaves of its segments.
So its owner, and no other user, finds it again on any server, by its salt. Taking it over raises
its epoch: the connection that had it can record nothing any more, even if its server was frozen
and wakes later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from threading import Lock

from sqlalchemy.orm import Session as Db

from fsd.blobs.base import BlobReader, BlobStore, UploadGoneError
from fsd.blobs.places import Places
from fsd.blobs.stream import BlobStream
from fsd.policies import UploadLimits
from fsd.services.files.staged_upload import ELSEWHERE, StagedUpload
from fsd.store.engine import Database
from fsd.store.repos import uploads as rows
from fsd.store.repos.uploads import RecordedPart, RecordedUpload, UploadKey
from fsd.workers import IdleWorkers
from fsproto import crypto
from fsproto.errors import (
    ConflictError,
    FsError,
    OutOfSpaceError,
)
from fsproto.limits import SEGMENT_SIZE
from fsproto.sealed import integrity
from fsproto.types import Salt

log = logging.getLogger(__name__)

LEASE_MS = 120_000
"""How long an upload counts as being received after its server was last heard of."""


class StagedUploads:
    """The uploads of this process, and the interrupted uploads in the database."""

    def __init__(
        self,
        database: Database,
        store: BlobStore,
        places: Places,
        limits: UploadLimits,
        *,
        most: int | None,
        spare: IdleWorkers,
        now_ms: Callable[[], int],
        node: str = "",
    ) -> None:
        """Take the parts, the limits, the largest blob in bytes, spare threads, and this node."""
        self._node = node
        self._database = database
        self._store = store
        self._places = places
        self._limits = limits
        self._now_ms = now_ms
        self._blob = partial(StagedUpload, most=most, spare=spare, record=self._record)
        self._lock = Lock()
        self._active: dict[int, set[StagedUpload]] = {}

    def begin(self, owner: int, salt: Salt, *, resumable: bool) -> StagedUpload:
        """Start an upload of a blob; discard an earlier part of it."""
        if resumable:
            before = self._find(owner, salt)
            if before is not None:
                self.discard(before)
            with self._database.read() as db:
                interrupted = rows.exists(db, owner, salt)
            if interrupted:
                self._forget(owner, salt)
        stream = BlobStream(self._store, self._places.take())
        return self._enter(self._blob(owner, salt, stream, resumable=resumable))

    def resume(self, owner: int, salt: Salt) -> tuple[StagedUpload, int] | None:
        """Resume an upload; return it and the number of segments it has; None if there is none.

        If another connection still has the upload, that connection loses it.
        """
        before = self._find(owner, salt)
        if before is not None:
            self.suspend(before)  # after the other connection has written its segment
        now = self._now_ms()
        with self._database.write() as db:
            found = rows.take_over(
                db, owner, salt, now_ms=now, lease_until_ms=now + LEASE_MS, node=self._node
            )
        if found is None:
            return None
        stream = BlobStream(self._store, found.key.place)
        try:
            leaves = self._opened(stream, salt, found)
        except UploadGoneError:
            leaves = []
        if not leaves:
            self._end(found.key)
            return None
        blob = self._blob(owner, salt, stream, resumable=True)
        blob.key = found.key
        blob.continue_after(leaves)
        return self._enter(blob), len(leaves)

    def _opened(self, stream: BlobStream, salt: Salt, found: RecordedUpload) -> list[bytes]:
        """Open a recorded upload; return the leaves of its first parts that are not damaged."""
        parts = found.parts
        reader = self._store.unfinished(stream.place)
        if reader is not None:
            try:
                parts = list(intact(reader, salt, parts))
            finally:
                reader.close()
        if len(parts) < len(found.parts):
            with self._database.write() as db:
                if not rows.cut(db, found.key, parts):
                    raise ConflictError(ELSEWHERE)
        if parts:
            size = sum(part.size for part in parts)
            stream.resume(found.remote_id, [part.tag for part in parts], size)
        joined = b"".join(part.leaves for part in parts)
        step = crypto.HASH_SIZE
        return [joined[at : at + step] for at in range(0, len(joined), step)]

    def suspend(self, blob: StagedUpload) -> None:
        """Keep the received part of an upload whose connection has ended, if it can be resumed."""
        with blob.lock:
            if blob.over:
                return
            blob.over = True
            try:
                if not blob.resumable or not self._keep(blob):
                    self._give_up(blob)
            except FsError as error:
                self._places.done(blob.stream.place)
                if not isinstance(error, ConflictError):
                    raise
                log.info("another connection has taken an upload over")
            finally:
                blob.stream.close()
                self._leave(blob)
        if blob.space is not None:
            blob.space.let_go()

    def _keep(self, blob: StagedUpload) -> bool:
        """Record what was received; return whether there is anything to resume."""
        if blob.has_unrecorded and blob.stream.may_end_part:
            self._record(blob)
        if blob.key is None:
            return False
        with self._database.write() as db:
            if not rows.let_go(db, blob.key):
                raise ConflictError(ELSEWHERE)
            gone = rows.drop_oldest(db, blob.owner, self._now_ms(), self._limits.suspended)
        self._store.abort(gone)
        return True

    def discard(self, blob: StagedUpload) -> None:
        """Discard an upload; harmless if it has ended."""
        with blob.lock:
            was_over, blob.over = blob.over, True
            try:
                if not was_over:
                    blob.stream.close()
                    if blob.key is None:
                        self._give_up(blob)
                    else:
                        self._end(blob.key)
            finally:
                self._leave(blob)
        if blob.space is not None and not was_over:
            blob.space.let_go()

    def claim(self, db: Db, blob: StagedUpload) -> bool:
        """Claim the place of an upload for its blob; False if another connection has the upload."""
        if blob.key is not None:
            return rows.end(db, blob.key)
        if blob.resumable:
            rows.drop(db, blob.owner, blob.salt)  # of another connection, which has fewer segments
        return rows.claim(db, blob.stream.place)

    def close(self, blob: StagedUpload) -> None:
        """Note that the place of an upload was claimed; its lock is held."""
        blob.over = True
        self._places.done(blob.stream.place)

    def renew(self) -> None:
        """Extend what connections of this server hold: leases of uploads, and unclaimed places."""
        with self._lock:
            keys = [one.key for mine in self._active.values() for one in mine if one.key]
        if keys:
            with self._database.write() as db:
                rows.renew(db, keys, self._now_ms() + LEASE_MS)

    def interrupted_bytes(self, owner: int, besides: Salt) -> int:
        """Return the bytes of a user's interrupted uploads, except the one with a salt."""
        with self._database.read() as db:
            return rows.interrupted_bytes(db, owner, self._now_ms(), besides)

    def _give_up(self, blob: StagedUpload) -> None:
        """Delete what was written of an upload that has no row."""
        if blob.stream.size:
            blob.stream.abort()
        self._places.give_up(blob.stream.place, was_written=blob.stream.size > 0)

    # --- rows

    def _record(self, blob: StagedUpload) -> None:
        """End a part at the received segments, and record it if the upload can be resumed."""
        stream = blob.stream
        part = blob.take_part(stream.end_part())
        if not blob.resumable:
            return
        now = self._now_ms()
        until = now + LEASE_MS
        with self._database.write() as db:
            key = blob.key or rows.start(
                db,
                blob.owner,
                blob.salt,
                stream.place,
                stream.remote_id,
                now_ms=now,
                lease_until_ms=until,
                node=self._node,
            )
            if key is None or not rows.add_part(
                db, key, stream.parts, part, now_ms=now, lease_until_ms=until
            ):
                raise ConflictError(ELSEWHERE)
        blob.key = key
        self._places.done(stream.place)

    def _forget(self, owner: int, salt: Salt) -> None:
        with self._database.write() as db:
            gone = rows.drop(db, owner, salt)
        self._store.abort(gone)

    def _end(self, key: UploadKey) -> None:
        """Delete an upload, unless another connection has taken it over."""
        try:
            mine = self._end_row(key)
        except OutOfSpaceError:
            with self._database.write() as db:  # a full disk has no room for the change before this
                if rows.is_held(db, key):
                    self._store.abort([key.place])
            mine = self._end_row(key)
        if mine:
            self._store.abort([key.place])

    def _end_row(self, key: UploadKey) -> bool:
        with self._database.write() as db:
            mine = rows.end(db, key)
            if mine:
                rows.doom(db, [key.place])
        return mine

    # --- what this process receives

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
        try:
            self.suspend(blob)
        except FsError:
            blob.over = True
        raise OutOfSpaceError("You have too many uploads in progress.")

    def _leave(self, blob: StagedUpload) -> None:
        with self._lock:
            mine = self._active.get(blob.owner, set())
            mine.discard(blob)
            if not mine:
                self._active.pop(blob.owner, None)


def intact(reader: BlobReader, salt: Salt, parts: Sequence[RecordedPart]) -> Iterator[RecordedPart]:
    """Yield the first parts of an upload, up to the first one whose bytes have other leaves."""
    room = memoryview(bytearray(SEGMENT_SIZE))
    index = 0
    for part in parts:
        leaves = b""
        for _ in range(part.size // SEGMENT_SIZE):
            have = 0
            while have < SEGMENT_SIZE and (count := reader.readinto(room[have:])):
                have += count
            if have < SEGMENT_SIZE:
                return
            leaves += integrity.leaf(salt, index, room)
            index += 1
        if leaves != part.leaves:
            return
        yield part
