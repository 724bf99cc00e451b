"""Queries on the stored data of a user's tree, other than the current contents of its files.

A count is kept with the quota, and each commit adds to it. Deletions lower it only when everything
is counted again, so the count is never too low.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Column, Select, func, literal, select
from sqlalchemy.orm import Session as Db

from fsd.store.models import (
    Blob,
    FolderState,
    Grant,
    Manifest,
    MemberList,
    Node,
    OlderHash,
    Removal,
    table,
)
from fsd.store.quota_models import Quota
from fsd.store.repos import quotas
from fsd.store.repos.many import helpings
from fsd.store.repos.quotas import HeldQuota

ROW = 128
"""Bytes that a row counts in addition to its payload: keys, hashes, a signature."""

_NODES, _REMOVALS = table(Node), table(Removal)
_PAYLOADS: Sequence[Sequence[Column[bytes]]] = (
    [table(Manifest).c.payload],
    [table(FolderState).c.payload],
    [table(MemberList).c.payload],
    [table(Grant).c.sealed],
    [table(OlderHash).c.hash],
    [
        _REMOVALS.c[f"{when}_{what}"]
        for when in ("before", "after")
        for what in ("payload", "proof")
    ],
)
"""The columns that a person fills, by table; every table has the id of a node."""


class Stored(NamedTuple):
    """An amount of stored data."""

    nodes: int = 0
    record_bytes: int = 0
    kept_bytes: int = 0

    def and_more(self, other: Stored) -> Stored:
        """Return the sum of both."""
        return Stored(*(one + more for one, more in zip(self, other, strict=True)))

    def less(self, other: Stored) -> Stored:
        """Return what is left without `other`."""
        return Stored(*(max(0, one - less) for one, less in zip(self, other, strict=True)))


def size_of(payloads: Iterable[bytes]) -> int:
    """Return the counted bytes of rows with these payloads."""
    return sum(len(one) + ROW for one in payloads)


def of_trees(db: Db, payer_id: int) -> Stored:
    """Count the stored data of every tree in a user's quota."""
    owners = quotas.owners_in(db, payer_id)
    nodes = db.scalar(select(func.count()).select_from(Node).where(Node.owner_id.in_(owners)))
    records = 0
    for ask, node in _record_sums():
        joined = ask.join(_NODES, _NODES.c.id == node)
        records += int(db.scalar(joined.where(_NODES.c.owner_id.in_(owners))) or 0)
    blobs = select(func.sum(Blob.size)).where(Blob.owner_id.in_(owners), Blob.node_id.is_not(None))
    kept = int(db.scalar(blobs) or 0) - quotas.of_trees(db, payer_id).size
    return Stored(int(nodes or 0), records, max(0, kept))


def of_removed(db: Db, nodes: Sequence[bytes]) -> Stored:
    """Count the stored data of removed nodes, with all their contents."""
    records = kept = 0
    for some in helpings(nodes):
        for ask, node in _record_sums():
            records += int(db.scalar(ask.where(node.in_(some))) or 0)
        kept += int(db.scalar(select(func.sum(Blob.size)).where(Blob.node_id.in_(some))) or 0)
    return Stored(len(nodes), records, kept)


def _record_sums() -> Iterator[tuple[Select[int], Column[bytes]]]:
    """Yield the query that sums the counted bytes of each table, and its column of node ids."""
    for payloads in _PAYLOADS:
        of_table = payloads[0].table
        length = sum((func.length(each) for each in payloads), literal(ROW))
        node = of_table.c.folder_id if "folder_id" in of_table.c else of_table.c.node_id
        yield select(func.sum(length)).select_from(of_table), node


def known(row: Quota | HeldQuota) -> Stored | None:
    """Return the count in a quota row; None if it has none."""
    if row.nodes is None or row.record_bytes is None or row.kept_bytes is None:
        return None
    return Stored(row.nodes, row.record_bytes, row.kept_bytes)


def keep(row: HeldQuota, count: Stored) -> None:
    """Keep a count with a quota; `quotas.store` stores it."""
    row.nodes, row.record_bytes, row.kept_bytes = count
