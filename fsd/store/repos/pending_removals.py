"""Removal of large folders: what is below them is marked as removed in many transactions.

The commit that removes a large folder marks only that folder. Each later transaction marks some of
what is directly in a marked folder: a folder before its content, so that nobody can add to what is
left. What is not marked yet still counts in the quota; the transaction that marks it gives it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.orm import Session as Db

from fsd.store.models import Node, table
from fsd.store.removal_models import PendingRemoval
from fsd.store.repos import nodes, quotas, versions
from fsd.store.repos.many import change, for_each, run, scalar
from fsproto.sealed.manifest import NodeKind

_PENDING, _NODES = table(PendingRemoval), table(Node)
_NEW = insert(_PENDING)
_ANY = select(_PENDING.c.owner_id).limit(1)
_OF_OWNER = select(_PENDING.c.folder_id, _PENDING.c.removed_ms, _PENDING.c.after).where(
    _PENDING.c.owner_id == bindparam("owner")
)
_ONE = _OF_OWNER.limit(1)
_INSIDE = (
    select(_NODES.c.id, _NODES.c.kind, _NODES.c.token)
    .where(_NODES.c.parent_id == bindparam("folder"), _NODES.c.token > bindparam("last"))
    .order_by(_NODES.c.token)
    .limit(bindparam("most"))
)
_ADVANCE = (
    update(_PENDING)
    .where(_PENDING.c.folder_id == bindparam("folder"))
    .values(after=bindparam("last"))
)
_DONE = delete(_PENDING).where(_PENDING.c.folder_id == bindparam("folder"))
_FOLDER_COST = 10
"""A folder counts as much as this many nodes: each takes some statements."""


class _Inside(NamedTuple):
    """A node that is directly in a removed folder."""

    id: bytes
    kind: int
    token: bytes


def start(db: Db, tops: Iterable[bytes], removed_ms: int) -> None:
    """Note that what is below some removed nodes has to be marked."""
    for row in nodes.get_all(db, tops).values():
        if row.kind == NodeKind.FOLDER:
            _add(db, row.owner_id, [row.id], removed_ms)


def _add(db: Db, owner_id: int, folders: Sequence[bytes], removed_ms: int) -> None:
    same = {"owner_id": owner_id, "removed_ms": removed_ms, "after": b""}
    for_each(db, _NEW, [{"folder_id": folder} | same for folder in folders])


def exist(db: Db, owner_id: int) -> bool:
    """Return whether something below removed folders of a user is not marked yet."""
    return scalar(db, _ONE, owner=owner_id) is not None


def mark_some(db: Db, owner_id: int | None = None) -> bool:
    """Mark about `versions.PIECE` nodes below removed folders; return whether there were folders.

    They are those of a user; None: of any user.
    """
    if owner_id is None:
        owner_id = scalar(db, _ANY)
    if owner_id is None or not exist(db, owner_id):
        return False
    quota = quotas.hold(db, owner_id)  # before the rows: other servers mark as well
    left = versions.PIECE
    while left > 0 and (found := run(db, _ONE, owner=owner_id)):
        folder, removed_ms, last = found[0]
        inside = [_Inside(*row) for row in run(db, _INSIDE, folder=folder, last=last, most=left)]
        if len(inside) < left:
            change(db, _DONE, folder=folder)
        else:
            change(db, _ADVANCE, folder=folder, last=inside[-1].token)
        left -= len(inside) + _FOLDER_COST
        ids = [one.id for one in inside]
        held = quotas.of_nodes(db, ids)
        versions.mark_removed(db, ids, removed_ms)
        folders = [one.id for one in inside if one.kind == NodeKind.FOLDER]
        _add(db, owner_id, folders, removed_ms)
        if quota is not None:
            quota.used_bytes -= held.size
            quota.used_files -= held.files
    if quota is not None:
        quotas.store(db, quota)
    return True
