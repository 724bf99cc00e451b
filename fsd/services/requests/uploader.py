"""Request links, for uploaders, who have no account: description, and uploads of sealed files.

Rows before bytes: a file is counted in the transaction that starts it, and its bytes are an upload
like those of users (`fsd.services.files.uploads`), which any server of the database can continue.
The drop is stored in the transaction that ends the upload.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.blobs.base import BlobStore
from fsd.blobs.places import Places
from fsd.policies import MIB, DropPolicy, LoginPolicy, RequestPolicy, UploadLimits
from fsd.services.files.uploads import StagedUploads
from fsd.services.links.proofs import NoSuchLink, ProofCheck, UrlEvents
from fsd.services.links.tickets import UrlTickets
from fsd.services.requests.owner import is_newest
from fsd.services.requests.receiving import ReceivingUpload, ReceivingUploads
from fsd.store.drop_models import Drop
from fsd.store.engine import Database, before_commit
from fsd.store.models import User
from fsd.store.repos import blobs as blob_rows
from fsd.store.repos import drops, logins, nodes, quotas, users
from fsd.store.repos import requests as rows
from fsd.store.request_models import RequestFile, RequestLink
from fsd.workers import IdleWorkers
from fsproto.drop import DROP_ID_SIZE
from fsproto.errors import ConflictError, FsError, IntegrityError, OutOfSpaceError
from fsproto.limits import MAX_DROPS, REQUEST_TICKET_S, SEGMENT_SIZE
from fsproto.requests.secret import LABELS
from fsproto.requests.upload import (
    BUSY,
    DAMAGED,
    FULL,
    NO_ROOM,
    ORDER,
    TAKEN,
    TOO_LARGE,
    FinishUpload,
    StartUpload,
    UploadState,
)
from fsproto.sealed import integrity, stream
from fsproto.types import DropId, RequestId, Salt

_TOUCH_MS = 60_000
_UNDER_WAY_MS = 2 * _TOUCH_MS
"""A file that was touched within this time counts as being sent now."""


class UploadRefused(FsError):
    """The request link is right, and the upload is refused; `word` says why."""

    def __init__(self, word: str) -> None:
        super().__init__(f"An upload with a request link was refused: {word}.")
        self.word = word


class RequestUploaders:
    """What uploaders may do with request links; calls block, and use no sockets."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        audit: AuditLog,
        *,
        ticket_key: bytes,
        policy: RequestPolicy,
        drops: DropPolicy,
        logins: LoginPolicy,
        now_ms: Callable[[], int],
        places: Places,
        spare: IdleWorkers,
    ) -> None:
        """Take the parts; `ticket_key` (32 bytes) authenticates tickets, `drops` has limits."""
        self._database = database
        self._tickets = UrlTickets(ticket_key, REQUEST_TICKET_S, now_ms)
        self.policy = policy
        self.drops = drops
        self._now_ms = now_ms
        self._incoming = StagedUploads(
            database,
            blobs,
            places,
            UploadLimits(active=1 << 16, suspended=MAX_DROPS),  # `start` limits them
            most=None,
            spare=spare,
            now_ms=now_ms,
        )
        self._uploads = ReceivingUploads(self._incoming, now_ms)
        self.proofs = ProofCheck[RequestLink](
            database,
            audit,
            labels=LABELS,
            lane="request:",
            events=UrlEvents(AuditEvent.REQUEST_REFUSED, AuditEvent.REQUEST_LOCKED),
            hold=_hold,
            is_open=self._open,
            logins=logins,
            now_ms=now_ms,
        )

    def description(self, request: RequestId, proof: bytes, address: str) -> bytes:
        """Return the sealed description; `NoSuchLink`."""
        return self.proofs.check(request, proof, address, lambda _, row: row.description)

    def start(
        self, request: RequestId, proof: bytes, ask: StartUpload, address: str
    ) -> UploadState:
        """Start the upload of a drop, or return how much of it was received.

        `NoSuchLink`, or `UploadRefused`.
        """
        self.proofs.check(request, proof, address, partial(self._started, ask=ask))
        return self._state(request, ask.drop)

    def check(self, request: RequestId, drop: DropId, ticket: bytes) -> None:
        """Raise `NoSuchLink` unless the ticket permits to continue an upload."""
        if len(drop) != DROP_ID_SIZE:
            raise NoSuchLink
        self._tickets.check(ticket, request, drop)
        with self._database.read() as db:
            self._checked(db, request, drop)

    def add(self, request: RequestId, drop: DropId, index: int, segment: memoryview) -> None:
        """Take the next segment of a checked upload; `UploadRefused`, `NoSuchLink`."""
        one = self._received(request, drop)
        with one.lock:
            wrong = index != one.blob.segments or len(segment) != _segment_size(one.size, index)
            if one.blob.over or wrong:
                raise UploadRefused(ORDER)
            try:
                one.blob.add(index, segment)
            except ConflictError:
                raise UploadRefused(ORDER) from None
            except OutOfSpaceError:
                self._uploads.suspend(drop, one)
                raise UploadRefused(NO_ROOM) from None
            except BaseException:
                self._uploads.suspend(drop, one)
                raise
            one.used_ms = self._now_ms()
            if one.used_ms - one.touched_ms >= _TOUCH_MS:
                one.touched_ms = one.used_ms
                with self._database.write() as db:
                    rows.touch(db, drop, one.used_ms)

    def state(self, request: RequestId, drop: DropId) -> UploadState:
        """Return how much of a checked upload was received."""
        return self._state(request, drop)

    def finish(
        self, request: RequestId, drop: DropId, ask: FinishUpload, address: str
    ) -> UploadState:
        """Store the drop of a checked upload; `UploadRefused`, `NoSuchLink`. It may be repeated."""
        with self._database.read() as db:
            row = self._checked(db, request, drop)
            if row.root is not None:
                if row.root != ask.root:
                    raise UploadRefused(TAKEN)
                return self._told(request, drop, row)
        one = self._received(request, drop)
        with one.lock:
            if one.blob.over or one.blob.segments != stream.stored_segment_count(one.size):
                raise UploadRefused(ORDER)
            self._uploads.leave(drop, one)
            try:
                self._end(drop, one, ask, address)
            except (UploadRefused, NoSuchLink):
                self._incoming.discard(one.blob)
                raise
            except FsError as error:  # the disk or the database fails: it can be repeated
                self._incoming.suspend(one.blob)
                if isinstance(error, OutOfSpaceError):
                    raise UploadRefused(NO_ROOM) from None
                raise
            self._incoming.discard(one.blob)
        return self._state(request, drop)

    def _end(self, drop: DropId, one: ReceivingUpload, ask: FinishUpload, address: str) -> None:
        with one.blob.lock:
            try:
                one.blob.must_go_on()
                one.blob.check(ask.root, one.size)
            except ConflictError:
                raise UploadRefused(ORDER) from None
            except IntegrityError:
                self._forget(drop)
                raise UploadRefused(DAMAGED) from None
            one.blob.stream.finish()
            self._store(drop, one, ask, address)

    def abandon(self, request: RequestId, drop: DropId) -> None:
        """Discard a checked upload, and give back what it counts; harmless if it is complete."""
        self._uploads.discard(drop)
        with self._database.write() as db:
            row = rows.file(db, drop)
            if row is None or row.request_id != request or row.root is not None:
                return
            salt, owner = Salt(row.salt), rows.uploads_of(row.user_id)
            rows.forget_file(db, row)
        found = self._incoming.resume(owner, salt)
        if found is not None:
            self._incoming.discard(found[0])

    def renew(self) -> None:
        """Extend the leases of uploads, and write down abandoned ones."""
        self._uploads.renew()

    def close(self) -> None:
        """Write down all uploads, at the end of the server."""
        self._uploads.close()

    # --- start

    def _started(self, db: Db, request: RequestLink, *, ask: StartUpload) -> None:
        size = stream.plain_size(ask.sealed_size)
        if len(ask.drop) != DROP_ID_SIZE or len(ask.salt) != integrity.SALT_SIZE or size is None:
            raise UploadRefused(TOO_LARGE)
        before = rows.file(db, ask.drop)
        if before is not None:
            if (before.request_id, before.salt, before.size) != (
                *(request.id, ask.salt, ask.sealed_size),
            ):
                raise UploadRefused(TAKEN)
            before.touched_ms = self._now_ms()
            return
        if nodes.get(db, ask.drop) is not None or drops.get(db, ask.drop) is not None:
            raise UploadRefused(TAKEN)
        self._check_limits(db, request, size, ask.sealed_size)
        request.files += 1
        request.size += size
        row = RequestFile(
            drop_id=ask.drop,
            request_id=request.id,
            user_id=request.user_id,
            salt=ask.salt,
            size=ask.sealed_size,
            touched_ms=self._now_ms(),
            root=None,
        )
        rows.add(db, row)

    def _check_limits(self, db: Db, request: RequestLink, size: int, sealed_size: int) -> None:
        if request.max_files is not None and request.files >= request.max_files:
            raise UploadRefused(FULL)
        if request.max_bytes is not None and request.size + size > request.max_bytes:
            raise UploadRefused(TOO_LARGE)
        if size > self.drops.largest_mib * MIB:
            raise UploadRefused(TOO_LARGE)
        since = self._now_ms() - _UNDER_WAY_MS
        if rows.unfinished(db, request.user_id, since)[0] >= self.policy.at_once:
            raise UploadRefused(BUSY)
        count, stored = drops.load(db, request.user_id)
        coming, more = rows.unfinished(db, request.user_id)
        if (
            count + coming >= self.drops.waiting
            or stored + more + sealed_size > self.drops.waiting_mib * MIB
        ):
            raise UploadRefused(NO_ROOM)

    # --- what is received

    def _received(self, request: RequestId, drop: DropId) -> ReceivingUpload:
        """Return an upload in memory, taken over from another server or connection if need be."""
        one = self._uploads.find(request, drop)
        if one is not None:
            return one
        with self._database.read() as db:
            row = self._checked(db, request, drop)
        if row.root is not None:
            raise UploadRefused(ORDER)
        return self._uploads.open(row)

    def _forget(self, drop: DropId) -> None:
        with self._database.write() as db:
            row = rows.file(db, drop)
            if row is not None and row.root is None:
                rows.forget_file(db, row)

    def _store(self, drop: DropId, one: ReceivingUpload, ask: FinishUpload, address: str) -> None:
        """Store a complete drop in one transaction."""
        committing: list[bool] = []
        now, blob = self._now_ms(), one.blob
        try:
            with self._database.write() as db:
                request, owner = self._held(db, one.request)
                row = rows.file(db, drop)
                if row is None or row.root is not None or not self._incoming.claim(db, blob):
                    raise UploadRefused(ORDER)
                if blob_rows.get(db, ask.root) is not None or nodes.get(db, drop) is not None:
                    raise UploadRefused(TAKEN)
                content = {
                    "root": ask.root,
                    "owner_id": owner.id,
                    "node_id": drop,
                    "salt": blob.salt,
                    "size": one.size,
                    "created_ms": now,
                    "data": None,
                    "place": blob.stream.place,
                }
                blob_rows.add_all(db, [content])
                db.add(_drop(drop, request, ask, now))
                row.root, row.touched_ms = ask.root, now
                request.used_ms = now
                db.flush()
                logins.notify(db, owner.id, logins.DROPPED, now, address)
                detail = f"{request.id.hex()}: {one.size} sealed bytes"
                self.proofs.record(db, AuditEvent.REQUEST_FILE_SENT, request, address, detail)
                before_commit(db, lambda _: committing.append(True))
        except BaseException:
            if committing:  # it may be stored
                self._incoming.close(blob)
            raise
        self._incoming.close(blob)

    def _held(self, db: Db, of: RequestId) -> tuple[RequestLink, User]:
        """Lock the owner and the request link; `NoSuchLink` if it takes no files any longer."""
        found = rows.get(db, of)
        owner = None if found is None else rows.owner(db, found)
        if owner is None:
            raise NoSuchLink
        logins.hold(db, owner.name)
        users.hold(db, owner.id)
        request = rows.hold(db, of)
        if request is None or not self._open(db, request):
            raise NoSuchLink
        return request, owner

    # --- request links

    def _state(self, request: RequestId, drop: DropId) -> UploadState:
        with self._database.read() as db:
            row = self._checked(db, request, drop)
        return self._told(request, drop, row)

    def _told(self, request: RequestId, drop: DropId, row: RequestFile) -> UploadState:
        if row.root is not None:
            segments = stream.stored_segment_count(row.size)
        else:
            segments = self._received(request, drop).blob.segments
        return UploadState(self._tickets.make(request, drop), segments, row.root is not None)

    def _checked(self, db: Db, request: RequestId, drop: DropId) -> RequestFile:
        """Return the row of a file of a request link that is open; `NoSuchLink`."""
        row = rows.file(db, drop)
        if row is None or row.request_id != request or not self._open(db, rows.get(db, request)):
            raise NoSuchLink
        return row

    def _open(self, db: Db, row: RequestLink | None) -> bool:
        now = self._now_ms()
        if row is None or row.ended or users.is_expired(row.expires_ms, now):
            return False
        owner = rows.owner(db, row)
        if owner is None or users.is_out(owner, now) or not self.policy.most:
            return False
        return is_newest(db, owner.id, row.bundle_hash)


def _hold(db: Db, of: bytes) -> RequestLink | None:
    """Return a request link, locked with the quota of its owner.

    Files that are sent with several request links of one owner share the owner's limits.
    """
    found = rows.get(db, of)
    if found is None:
        return None
    quotas.hold(db, found.user_id)
    return rows.hold(db, of)


def _segment_size(size: int, index: int) -> int:
    return min(SEGMENT_SIZE, size - index * SEGMENT_SIZE)


def _drop(drop: DropId, request: RequestLink, ask: FinishUpload, now_ms: int) -> Drop:
    return Drop(
        id=drop,
        user_id=request.user_id,
        root=ask.root,
        bundle_hash=request.bundle_hash,
        wrapped=ask.wrapped,
        note=ask.note,
        created_ms=now_ms,
        request_id=request.id,
    )
