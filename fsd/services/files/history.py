"""Older versions of files, and nodes removed from folders."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.blobs.base import BlobStore, release
from fsd.principal import Principal
from fsd.services.files.shares import folder_for
from fsd.services.paging import following, parts
from fsd.store.engine import Database
from fsd.store.repos import lineages, nodes, pending_removals, quotas, shares, stored, versions
from fskit.text import count_text
from fsproto.errors import NotAllowedError, NotFoundError, RemoteProtocolError
from fsproto.keys.grants import Role
from fsproto.limits import MAX_FORGOTTEN, MAX_LINEAGE_HASHES, MAX_LINEAGE_RANGES
from fsproto.messages.base import Done
from fsproto.messages.history import Forgotten, Gone, History, Lineage, LineageRange, Removed
from fsproto.signed import Signed
from fsproto.types import NodeId

_AT_ONCE = 100
"""Removed nodes in one answer, if there is room."""
_PIECES = 10
"""Pieces of a deletion for good that its request waits for; the janitor deletes the others."""


class HistoryService:
    """Older versions and removed nodes; all calls block."""

    def __init__(self, database: Database, blobs: BlobStore, audit: AuditLog | None = None) -> None:
        """Take the parts; without an audit log, deletions are not recorded."""
        self._database = database
        self._blobs = blobs
        self._audit = audit

    def of_node(self, who: Principal, node: NodeId, version: int) -> Iterator[History]:
        """Yield a node's manifests before a version, for a reader of the node."""
        with self._database.read() as db:
            found = nodes.get(db, node)
            if found is None or not shares.readable(db, who.user_id, [found]):
                raise NotFoundError("There is no such file or folder.")
            first = min(version, found.version)

        def page(after: versions.OlderManifest | None) -> list[versions.OlderManifest]:
            with self._database.read() as db:
                return versions.before(db, node, after.version if after else first)

        for part, more in parts(following(page), lambda one: _size(one.signed)):
            yield History([one.signed for one in part], more)

    def lineage(self, who: Principal, ranges: list[LineageRange]) -> Iterator[Lineage]:
        """Yield the hashes of versions between others, of nodes that a user may read."""
        if any(not 0 < one.after < one.before < 1 << 63 for one in ranges):
            raise RemoteProtocolError("Those are no versions.")
        hashes_asked = sum(one.before - one.after - 1 for one in ranges)
        if len(ranges) > MAX_LINEAGE_RANGES or hashes_asked > MAX_LINEAGE_HASHES:
            raise RemoteProtocolError("The request asks for too much at once.")
        wanted = {one.node for one in ranges}
        with self._database.read() as db:
            found = nodes.get_all(db, wanted)
            if shares.readable(db, who.user_id, list(found.values())) != wanted:
                raise NotFoundError("There is no such file or folder.")
            hashes = [each for one in ranges for each in lineages.between(db, one)]
        for part, more in parts(hashes, len, rest=0):
            yield Lineage(b"".join(part), more)

    def removed(self, who: Principal, folder: NodeId, skip: int) -> Removed:
        """Return one part of a folder's removed nodes, for a reader of the folder."""
        if not 0 <= skip < 1 << 31:
            raise RemoteProtocolError("The number of entries to skip is out of range.")
        with self._database.read() as db:
            folder_for(db, nodes.get(db, folder), who, Role.READER)
            found = versions.removed_from(db, folder, skip, _AT_ONCE + 1)
        part, cut = next(parts([Gone(*one) for one in found[:_AT_ONCE]], _gone_size))
        return Removed(part, cut or len(found) > _AT_ONCE)

    def forget(self, who: Principal, named: list[Forgotten]) -> Done:
        """Delete removed nodes of a user's own tree for good, and give back what they counted."""
        if len(named) > MAX_FORGOTTEN:
            raise RemoteProtocolError("Too many removed nodes were named at once.")
        wanted = {bytes(one.node): one.version for one in named}
        with self._database.write() as db:
            held = versions.hold_removed(db, list(wanted))
            for one in held:
                _check_owner(db, who, one)
            tops = [one.id for one in held if one.version == wanted[one.id]]
            versions.doom(db, tops)
            if tops and self._audit is not None:
                what = count_text(len(tops), "removed file or folder", "removed files and folders")
                self._audit.record_own(db, AuditEvent.TRASH_EMPTIED, who, what)
        for _ in range(_PIECES):
            if not self._drop_some(who, tops):
                break
        return Done()

    def _drop_some(self, who: Principal, tops: list[bytes]) -> bool:
        """Delete some of the nodes below doomed ones; return whether there were any.

        Before that, mark what is below removed folders.
        """
        with self._database.write() as db:
            if pending_removals.mark_some(db, who.user_id):
                return True
            row = quotas.hold(db, who.user_id)
            some = versions.piece(db, versions.held_doomed(db, tops), versions.PIECE)
            if row is not None and (count := stored.known(row)) is not None:
                stored.keep(row, count.less(stored.of_removed(db, some)))
                quotas.store(db, row)
            outside = versions.drop_removed(db, some)
        release(self._blobs, outside)
        return bool(some)


def _check_owner(db: Db, who: Principal, top: versions.RemovedTop) -> None:
    if top.owner_id == who.user_id:
        return
    if shares.role(db, who.user_id, top.id) is None:
        raise NotFoundError("There is no such file or folder.")
    raise NotAllowedError("Only the owner of a tree can delete for good what was removed from it.")


def _size(one: Signed) -> int:
    return len(one.payload) + len(one.signature)


def _gone_size(one: Gone) -> int:
    proofs = len(one.before_proof) + len(one.after_proof)
    return proofs + sum(_size(signed) for signed in (one.manifest, one.before, one.after))
