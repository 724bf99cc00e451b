"""Older versions of files, and nodes removed from folders."""

from __future__ import annotations

from collections.abc import Iterator

from fsd.principal import Principal
from fsd.services.files.shares import folder_for
from fsd.services.paging import following, parts
from fsd.store.engine import Database
from fsd.store.repos import lineages, nodes, shares, versions
from fsproto.errors import NotFoundError, RemoteProtocolError
from fsproto.keys.grants import Role
from fsproto.limits import MAX_LINEAGE_HASHES, MAX_LINEAGE_RANGES
from fsproto.messages.history import Gone, History, Lineage, LineageRange, Removed
from fsproto.signed import Signed
from fsproto.types import NodeId

_AT_ONCE = 100
"""Removed nodes in one answer, if there is room."""


class HistoryService:
    """Queries about older versions and removed nodes; all calls block."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    def of_node(self, who: Principal, node: NodeId, version: int) -> Iterator[History]:
        """Yield a node's manifests before a version, for a user who may read the node."""
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
            raise RemoteProtocolError("That asks for too much at once.")
        wanted = {one.node for one in ranges}
        with self._database.read() as db:
            found = nodes.get_all(db, wanted)
            if shares.readable(db, who.user_id, list(found.values())) != wanted:
                raise NotFoundError("There is no such file or folder.")
            hashes = [each for one in ranges for each in lineages.between(db, one)]
        for part, more in parts(hashes, len, rest=0):
            yield Lineage(b"".join(part), more)

    def removed(self, who: Principal, folder: NodeId, skip: int) -> Removed:
        """Return one part of a folder's removed nodes, for a user who may read the folder."""
        if not 0 <= skip < 1 << 31:
            raise RemoteProtocolError("Nobody knows as much as that already.")
        with self._database.read() as db:
            folder_for(db, nodes.get(db, folder), who, Role.READER)
            found = versions.removed_from(db, folder, skip, _AT_ONCE + 1)
        part, cut = next(parts([Gone(*one) for one in found[:_AT_ONCE]], _gone_size))
        return Removed(part, cut or len(found) > _AT_ONCE)


def _size(one: Signed) -> int:
    return len(one.payload) + len(one.signature)


def _gone_size(one: Gone) -> int:
    proofs = len(one.before_proof) + len(one.after_proof)
    return proofs + sum(_size(signed) for signed in (one.manifest, one.before, one.after))
