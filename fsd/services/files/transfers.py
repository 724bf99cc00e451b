"""Uploads and downloads of sealed content.

Commit order: place known to the database, bytes staged, root verified, blob durable at its place,
then one row that makes it known. The garbage collection deletes an upload that was interrupted
before that row.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import partial

from fsd.blobs.base import BlobReader, BlobStore, release
from fsd.blobs.places import Places
from fsd.policies import UploadLimits
from fsd.principal import Principal
from fsd.services.files.quotas import Quotas, UploadSpace
from fsd.services.files.staged_upload import FinishedUpload, StagedUpload
from fsd.services.files.uploads import StagedUploads
from fsd.services.paging import parts
from fsd.store.engine import Database
from fsd.store.repos import blobs as blob_rows
from fsd.store.repos import drops, nodes, shares
from fsd.store.repos import uploads as upload_rows
from fsd.workers import IdleWorkers
from fsproto.errors import ConflictError, NotFoundError, RemoteProtocolError
from fsproto.limits import MAX_FETCH, MAX_INLINE_BLOB
from fsproto.messages.files import Content, Fetched, Kept, Room
from fsproto.sealed import integrity
from fsproto.sealed.stream import stored_segment_count
from fsproto.types import NodeId, Root, Salt


class TransferService:
    """Uploads and downloads; all calls block, none uses sockets."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        *,
        now_ms: Callable[[], int],
        max_blob: int | None = None,
        limits: UploadLimits | None = None,
        quotas: Quotas | None = None,
        spare: IdleWorkers | None = None,
        places: Places | None = None,
        node: str = "",
    ) -> None:
        """Take the parts, and the size of the largest accepted blob in bytes (None: no limit).

        `node` is the id of this node, as text.

        `places` are those that other services of this server use as well. The threads of `spare`
        may hash received data while it is written.
        """
        self._database = database
        self._blobs = blobs
        self._now_ms = now_ms
        self._quotas = quotas or Quotas(database, now_ms=now_ms)
        self._incoming = StagedUploads(
            database,
            blobs,
            places or Places(database, now_ms),
            limits or UploadLimits(),
            most=max_blob,
            spare=spare or IdleWorkers(0),
            now_ms=now_ms,
            node=node,
        )

    def begin(
        self,
        who: Principal,
        salt: Salt,
        room: Room | None = None,
        *,
        resumable: bool = False,
        line: bytes = b"",
    ) -> StagedUpload:
        """Start an upload and discard an earlier part of it, if the quota has space for it.

        `line` names the connection of the upload. `QuotaError` if there is no space; without
        `room` the user's own quota needs space for all received bytes.
        """
        _check_salt(salt)
        space = self._reserved(who, salt, line, room)
        try:
            blob = self._incoming.begin(who.user_id, salt, resumable=resumable)
        except BaseException:
            space.let_go()
            raise
        blob.space = space
        return blob

    def resume(
        self, who: Principal, salt: Salt, room: Room | None = None, *, line: bytes = b""
    ) -> tuple[Kept, StagedUpload | FinishedUpload | None]:
        """Resume an interrupted upload; None if no part of it was kept.

        `QuotaError` if the quota has no space for it now; the kept part stays.
        """
        _check_salt(salt)
        found = self._incoming.resume(who.user_id, salt)
        if found is not None:
            blob, segments = found
            try:
                blob.space = self._reserved(who, salt, line, room)
            except BaseException:
                self._incoming.suspend(blob)
                raise
            return Kept(segments, whole=False), blob
        with self._database.read() as db:
            row = blob_rows.staged_with(db, who.user_id, salt)
            if row is None:
                return Kept(0, whole=False), None
            root, size = row.root, row.size
        self._quotas.reserve(who, salt, line, room)
        return Kept(stored_segment_count(size), whole=True), FinishedUpload(root, size)

    def renew(self) -> None:
        """Extend the leases of the uploads that connections of this server receive."""
        self._incoming.renew()

    def let_go(self, line: bytes) -> None:
        """Release the reservations of a connection that has ended."""
        self._quotas.let_go(line)

    def _reserved(self, who: Principal, salt: Salt, line: bytes, room: Room | None) -> UploadSpace:
        """Reserve space for an upload; the user's unfinished uploads take space, too."""
        unfinished = partial(self._incoming.interrupted_bytes, who.user_id, salt)
        return self._quotas.reserve(who, salt, line, room, unfinished)

    def suspend(self, blob: StagedUpload | FinishedUpload) -> None:
        """Keep the received part of an upload whose connection has ended, if it can be resumed."""
        if isinstance(blob, StagedUpload):
            self._incoming.suspend(blob)

    def discard(self, blob: StagedUpload | FinishedUpload) -> None:
        """Discard an upload; a finished one waits for its commit or for garbage collection."""
        if isinstance(blob, StagedUpload):
            self._incoming.discard(blob)

    def finish(
        self, who: Principal, blob: StagedUpload | FinishedUpload, root: Root, size: int
    ) -> None:
        """Store a finished upload until its commit, if root and size are as the client says."""
        if isinstance(blob, FinishedUpload):
            blob.check(root, size)
            return
        try:
            with blob.lock:
                blob.must_go_on()
                self._finish(who, blob, root, size)
                self._incoming.close(blob)
        finally:
            self._incoming.discard(blob)

    def _finish(self, who: Principal, blob: StagedUpload, root: Root, size: int) -> None:
        blob.check(root, size)
        blob.stream.finish()
        place = blob.stream.place
        row = {
            "root": root,
            "owner_id": who.user_id,
            "node_id": None,
            "salt": blob.salt,
            "size": size,
            "created_ms": self._now_ms(),
            "data": None,
            "place": place,
        }
        spare: list[str] = []
        with self._database.write() as db:
            if not self._incoming.claim(db, blob):
                raise ConflictError("This upload continues over another connection.")
            known = blob_rows.get(db, root)
            if known is None:
                blob_rows.add_all(db, [row])
            elif (known.owner_id, known.node_id) == (who.user_id, None):
                spare = [place]
                upload_rows.doom(db, spare)
            else:
                raise ConflictError("A blob with this content exists already.")
        release(self._blobs, spare)

    def open(self, who: Principal, node: NodeId, root: Root) -> tuple[BlobReader, int]:
        """Return a reader of a node's current or kept content, and its size.

        A drop for the user may be given in place of a node.
        """
        with self._database.read() as db:
            found, blob = nodes.get(db, node), blob_rows.get(db, root)
            if found is None:
                drop = drops.get(db, node)
                if drop is None or drop.user_id != who.user_id:
                    raise NotFoundError("There is no such file.")
            elif not shares.readable(db, who.user_id, [found]):
                raise NotFoundError("There is no such file.")
            if blob is None or blob.node_id != node:
                raise ConflictError("The file was replaced or removed in the meantime.")
            if blob.data is not None:
                return io.BytesIO(blob.data), blob.size
            place, size = blob.place or "", blob.size
        return self._blobs.open(place, size), size

    def fetch(self, who: Principal, contents: list[Content]) -> Iterator[Fetched]:
        """Yield small blobs in the requested order; None for a blob that no longer exists."""
        if len(contents) > MAX_FETCH:
            raise RemoteProtocolError("Too many files were asked for at once.")
        wanted = self._readable_small(who, contents)
        for some, _ in parts(wanted, lambda one: one[1] if one else 0, rest=0):
            if some:
                yield self._fetched([one[0] if one else None for one in some])

    def _readable_small(
        self, who: Principal, contents: list[Content]
    ) -> list[tuple[Content, int] | None]:
        """Return each content with its size; None for what `fetch` does not answer with."""
        with self._database.read() as db:
            there = nodes.get_all(db, [one.node for one in contents])
            seen = shares.readable(db, who.user_id, list(there.values()))
            roots = {one.root for one in contents if one.node in seen}
            held = blob_rows.held(db, roots)
        sizes = {root: row.size for root, row in held.items() if row.size <= MAX_INLINE_BLOB}
        return [
            (one, sizes[one.root]) if one.node in seen and one.root in sizes else None
            for one in contents
        ]

    def _fetched(self, wanted: list[Content | None]) -> Fetched:
        """Return one part of an answer; nothing else holds its bytes while the client reads it."""
        with self._database.read() as db:
            found = blob_rows.small_ones(db, {one.root for one in wanted if one})
        return Fetched([found.get((one.node, one.root)) if one else None for one in wanted])


def _check_salt(salt: Salt) -> None:
    if len(salt) != integrity.SALT_SIZE:
        raise RemoteProtocolError("A salt has 32 bytes.")
