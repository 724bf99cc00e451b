"""The check of the stored data: blobs against their roots and rows, manifests, and folders.

It may run while the server runs. A finding of one snapshot counts only if a later snapshot has it
too, because clients replace and remove files during the check.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import select
from sqlalchemy.orm import aliased

from fsd.blobs.base import BlobMissingError, StoreUnavailableError
from fsd.blobs.check import StoredBytes, root_of
from fsd.check.findings import Finding, FindingKind
from fsd.services.files import tree_pages
from fsd.store.drop_models import Drop
from fsd.store.models import Blob, FolderState, Manifest, Node, OlderContent, User
from fsd.store.repos import blobs as blob_rows
from fsd.store.repos import nodes, quotas, uploads
from fsd.store.repos import tree_pages as page_rows
from fsproto import labels
from fsproto.errors import FsError
from fsproto.packing import unpack
from fsproto.proofs.prefix_tree import PrefixTree
from fsproto.sealed.folder import FolderState as State
from fsproto.sealed.manifest import NodeKind
from fsproto.signed import payload_hash
from fsproto.types import Salt

if TYPE_CHECKING:
    from sqlalchemy.orm import Session as Db

    from fsd.blobs.base import BlobStore
    from fsd.store.engine import Database

_SOME = 500
_SHORT = {"yield_per": _SOME}


class Scan:
    """One check of a database and its blobs."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs
        self.blobs = self.bytes = self.nodes = 0
        """How much was checked so far."""

    def findings(self) -> Iterator[Finding]:
        """Yield all findings, as they are found."""
        for look in (self._rows_of_blobs, self._files, self._folders):
            with self._database.read() as db:
                for finding in look(db):
                    if self._still_so(finding):
                        yield finding
        yield from self._orphans()
        yield from self._miscounted()

    # --- blobs

    def _rows_of_blobs(self, db: Db) -> Iterator[Finding]:
        ask = (
            select(
                Blob.root,
                Blob.salt,
                Blob.size,
                Blob.node_id,
                Blob.data,
                Blob.place,
                Node.blob,
                OlderContent.node_id,
                Drop.id,
                User.name,
            )
            .join(User, User.id == Blob.owner_id)
            .outerjoin(Node, Node.id == Blob.node_id)
            .outerjoin(OlderContent, OlderContent.root == Blob.root)
            .outerjoin(Drop, (Drop.root == Blob.root) & (Drop.id == Blob.node_id))
        )
        for row in db.execute(ask, execution_options=_SHORT):
            root, salt, size, node, data, place, has, older, drop, owner = cast("Any", row)
            self.blobs += 1
            self.bytes += size
            wrong = self._compare(root, salt, size, data, place)
            if wrong is not None:
                yield Finding(wrong, root.hex(), owner, staged=node is None, drop=drop is not None)
            elif node is not None and has != root and older != node and drop is None:
                yield Finding(FindingKind.UNOWNED, root.hex(), owner)

    def _compare(
        self, root: bytes, salt: bytes, size: int, data: bytes | None, place: str | None
    ) -> FindingKind | None:
        if data is not None:
            found = root_of(io.BytesIO(data), Salt(salt))
        else:
            try:
                with closing(StoredBytes(self._blobs.open(place or ""))) as source:
                    found = root_of(source, Salt(salt))
            except BlobMissingError:
                return FindingKind.MISSING
            except StoreUnavailableError:
                raise
            except FsError:  # the disk cannot read it
                return FindingKind.DAMAGED
        return None if found == (root, size) else FindingKind.DAMAGED

    def _orphans(self) -> Iterator[Finding]:
        lying: list[str] = []
        for blob in self._blobs.walk():
            if blob.age_s >= self._blobs.orphan_after_s:
                lying.append(blob.place)
            if len(lying) == _SOME:
                yield from self._unknown(lying)
                lying = []
        yield from self._unknown(lying)

    def _unknown(self, lying: list[str]) -> Iterator[Finding]:
        with self._database.read() as db:
            known = uploads.known(db, lying)
        for place in lying:
            if place not in known and self._blobs.size(place) is not None:
                yield Finding(FindingKind.ORPHAN, place.rpartition("/")[2], "")

    # --- nodes

    def _files(self, db: Db) -> Iterator[Finding]:
        parent = aliased(Node)
        ask = (
            select(
                Node.id,
                Node.kind,
                Blob.root,
                Node.parent_id,
                parent.kind,
                Node.manifest_hash,
                Manifest.payload,
                User.name,
            )
            .join(User, User.id == Node.owner_id)
            .outerjoin(Blob, (Blob.root == Node.blob) & (Blob.node_id == Node.id))
            .outerjoin(parent, parent.id == Node.parent_id)
            .outerjoin(Manifest, (Manifest.node_id == Node.id) & (Manifest.version == Node.version))
        )
        for row in db.execute(ask, execution_options=_SHORT):
            node, kind, has, above, above_kind, digest, payload, owner = cast(
                "Any", row
            )  # joined from outside
            self.nodes += 1
            if payload is None or payload_hash(labels.HASH_MANIFEST, payload) != digest:
                yield Finding(FindingKind.NO_MANIFEST, node.hex(), owner)
            if kind == NodeKind.FILE and has is None:
                yield Finding(FindingKind.NO_BLOB, node.hex(), owner)
            if above is not None and above_kind != NodeKind.FOLDER:
                yield Finding(FindingKind.NO_PARENT, node.hex(), owner)

    def _folders(self, db: Db) -> Iterator[Finding]:
        ask = (
            select(Node.id, User.name)
            .join(User, User.id == Node.owner_id)
            .where(Node.kind == NodeKind.FOLDER)
        )
        for node, owner in db.execute(ask, execution_options=_SHORT):
            wrong = _folder(db, node)
            if wrong is not None:
                yield Finding(wrong, node.hex(), owner)

    # --- quotas

    def _miscounted(self) -> Iterator[Finding]:
        with (
            self._database.read() as db
        ):  # one snapshot is enough: the counts and the files are compared at one moment
            found = quotas.differing(db)
        for owner, noted, there in found:
            amounts = f"{noted.files} files with {noted.size} bytes are noted"
            what = f"{amounts}, {there.files} with {there.size} are there"
            yield Finding(FindingKind.MISCOUNTED, what, owner)

    # --- findings again, in a later snapshot

    def _still_so(self, finding: Finding) -> bool:
        key = bytes.fromhex(finding.what)
        with self._database.read() as db:
            match finding.kind:
                case FindingKind.MISSING | FindingKind.DAMAGED:
                    row = blob_rows.get(db, key)
                    return row is not None and (
                        self._compare(key, row.salt, row.size, row.data, row.place) is finding.kind
                    )
                case FindingKind.UNOWNED:
                    row = blob_rows.get(db, key)
                    node = nodes.get(db, row.node_id) if row and row.node_id else None
                    older = db.get(OlderContent, key)
                    kept = row is not None and older is not None and older.node_id == row.node_id
                    dropped = row is not None and row.node_id and db.get(Drop, row.node_id)
                    kept = kept or bool(dropped and dropped.root == key)
                    return row is not None and (node is None or node.blob != key) and not kept
                case FindingKind.NO_STATE | FindingKind.WRONG_ROOT | FindingKind.WRONG_PAGES:
                    return nodes.get(db, key) is not None and _folder(db, key) is finding.kind
        # The other kinds come from one statement, so they need no second look.
        return True


def _folder(db: Db, folder: bytes) -> FindingKind | None:
    """Compare a folder's entries with its signed state."""
    state = db.get(FolderState, folder)
    if state is None or payload_hash(labels.HASH_STATE, state.payload) != state.hash:
        return FindingKind.NO_STATE
    try:
        signed = unpack(state.payload, State)
    except FsError:
        return FindingKind.NO_STATE
    tree, entries = PrefixTree.build(nodes.entries(db, folder)), state.entries
    db.expunge_all()
    if tree.root != signed.root:
        return FindingKind.WRONG_ROOT
    pages = {} if entries is None else tree_pages.changed(None, tree)[0]
    if entries not in (None, tree.size) or page_rows.get_all(db, folder) != pages:
        return FindingKind.WRONG_PAGES
    return None
