"""Sealed content on its way in and out.

Commit order: staged, root verified, synced to disk, then one row that makes it known; what was
interrupted anywhere before that row is found and deleted by the janitor.
"""

from __future__ import annotations

import io
from collections.abc import Callable

from fsd.blobs.base import BlobReader, BlobStore, StagedBlob
from fsd.services.accounts import Principal
from fsd.store.engine import Database
from fsd.store.repos import blobs as blob_rows
from fsd.store.repos import nodes
from fsproto import crypto
from fsproto.errors import (
    ConflictError,
    IntegrityError,
    NotFoundError,
    OutOfSpaceError,
    RemoteProtocolError,
)
from fsproto.limits import MAX_FETCH, SEGMENT_SIZE
from fsproto.messages.files import Content
from fsproto.sealed import integrity
from fsproto.types import NodeId, Root, Salt


class Transfers:
    """Uploads and downloads; all calls block, none knows of sockets."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        *,
        now_ms: Callable[[], int],
        max_blob: int | None = None,
    ) -> None:
        """Take the parts, and the largest blob in bytes that is taken in (None: any)."""
        self._database = database
        self._blobs = blobs
        self._now_ms = now_ms
        self._max_blob = max_blob

    def begin(self, who: Principal, salt: Salt) -> IncomingBlob:
        """Begin an upload."""
        if len(salt) != integrity.SALT_SIZE:
            raise RemoteProtocolError("A salt has 32 bytes.")
        return IncomingBlob(self._blobs.stage(), salt, self._max_blob)

    def finish(self, who: Principal, blob: IncomingBlob, root: Root, size: int) -> None:
        """Keep an upload for the commit to come, if it is what the sender says that it is."""
        try:
            blob.check(root, size)
            blob.staged.keep(root)
            row = {
                "root": root,
                "owner_id": who.user_id,
                "node_id": None,
                "salt": blob.salt,
                "size": size,
                "created_ms": self._now_ms(),
                "data": None,
            }
            with self._database.write() as db:
                known = blob_rows.get(db, root)
                if known is None:
                    blob_rows.add_all(db, [row])
                elif (known.owner_id, known.node_id) != (who.user_id, None):
                    raise ConflictError("This very content was uploaded before.")
        finally:
            blob.staged.discard()

    def open(self, who: Principal, node: NodeId, root: Root) -> tuple[BlobReader, int]:
        """Return a reader of a node's content and its size in bytes."""
        with self._database.read() as db:
            found, blob = nodes.get(db, node), blob_rows.get(db, root)
            if found is None or found.owner_id != who.user_id:
                raise NotFoundError("There is no such file.")
            if found.blob != root or blob is None:
                raise ConflictError("The file was replaced or removed meanwhile.")
            if blob.data is not None:
                return io.BytesIO(blob.data), blob.size
            size = blob.size
        return self._blobs.open(root), size

    def fetch(self, who: Principal, contents: list[Content]) -> list[bytes | None]:
        """Return small blobs in the order asked for; None for one that is not there any more."""
        if len(contents) > MAX_FETCH:
            raise RemoteProtocolError("Too many files were asked for at once.")
        with self._database.read() as db:
            found = blob_rows.small_ones(db, who.user_id, [one.node for one in contents])
        return [found.get((one.node, one.root)) for one in contents]


class IncomingBlob:
    """A blob that is being received: written and hashed segment by segment."""

    def __init__(self, staged: StagedBlob, salt: Salt, most: int | None) -> None:
        """Take the place it is written to."""
        self.staged = staged
        self.salt = salt
        self._leaves: list[bytes] = []
        self._size = 0
        self._most = most

    def add(self, index: int, segment: memoryview) -> None:
        """Take the next segment; `RemoteProtocolError` for any but that one."""
        if index != len(self._leaves) or self._size % SEGMENT_SIZE:
            raise RemoteProtocolError("A segment came out of order.")
        if not 0 < len(segment) <= SEGMENT_SIZE:
            raise RemoteProtocolError("A segment is empty or too long.")
        if self._most is not None and self._size + len(segment) > self._most:
            raise OutOfSpaceError("The file is larger than this server takes.")
        self.staged.write(segment)
        self._leaves.append(integrity.leaf(self.salt, index, segment))
        self._size += len(segment)

    def check(self, root: Root, size: int) -> None:
        """Raise `IntegrityError` unless all that came has this root and size."""
        if not self._leaves or size != self._size:
            raise IntegrityError("The upload is not complete.")
        if not crypto.equal(integrity.root(self.salt, self._leaves, size), root):
            raise IntegrityError("The upload was damaged on its way: its salted hash differs.")
