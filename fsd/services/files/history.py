"""Older versions of files, and nodes removed from folders."""

from __future__ import annotations

from fsd.principal import Principal
from fsd.services.files.shares import folder_for
from fsd.services.paging import parts
from fsd.store.engine import Database
from fsd.store.repos import nodes, shares, versions
from fsproto.errors import NotFoundError, RemoteProtocolError
from fsproto.keys.grants import Role
from fsproto.messages.history import Gone, History, Removed
from fsproto.signed import Signed
from fsproto.types import NodeId

_AT_ONCE = 100
"""Removed nodes in one answer, if there is room."""


class HistoryService:
    """Queries about older versions and removed nodes; all calls block."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    def of_node(self, who: Principal, node: NodeId, version: int) -> list[History]:
        """Return a node's manifests before a version, for a user who may read the node."""
        with self._database.read() as db:
            found = nodes.get(db, node)
            if found is None or not shares.readable(db, who.user_id, [found]):
                raise NotFoundError("There is no such file or folder.")
            older = versions.before(db, node, min(version, found.version))
        return [History(part, more) for part, more in parts(older, _size)]

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
