"""Queries on all that is stored of a user's tree, beside the current contents of its files.

A count is kept with the quota, and each commit adds to it. What is deleted is taken off only when
it is counted again, so the count is never too low.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Column, func, literal, select
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
    """An amount of what is stored."""

    nodes: int = 0
    record_bytes: int = 0
    kept_bytes: int = 0

    def and_more(self, other: Stored) -> Stored:
        """Return the sum of both."""
        return Stored(*(one + more for one, more in zip(self, other, strict=True)))


def size_of(payloads: Iterable[bytes]) -> int:
    """Return what rows with these payloads count."""
    return sum(len(one) + ROW for one in payloads)


def of_trees(db: Db, payer_id: int) -> Stored:
    """Count what is stored of all trees in a user's quota."""
    owners = quotas.owners_in(db, payer_id)
    nodes = db.scalar(select(func.count()).select_from(Node).where(Node.owner_id.in_(owners)))
    records = 0
    for payloads in _PAYLOADS:
        of_table = payloads[0].table
        length = sum((func.length(each) for each in payloads), literal(ROW))
        node = of_table.c.folder_id if "folder_id" in of_table.c else of_table.c.node_id
        ask = select(func.sum(length)).select_from(of_table).join(_NODES, _NODES.c.id == node)
        records += int(db.scalar(ask.where(_NODES.c.owner_id.in_(owners))) or 0)
    blobs = select(func.sum(Blob.size)).where(Blob.owner_id.in_(owners), Blob.node_id.is_not(None))
    kept = int(db.scalar(blobs) or 0) - quotas.of_trees(db, payer_id).size
    return Stored(int(nodes or 0), records, max(0, kept))


def known(row: Quota) -> Stored | None:
    """Return the count that is kept with a quota; None if there is none."""
    if row.nodes is None or row.record_bytes is None or row.kept_bytes is None:
        return None
    return Stored(row.nodes, row.record_bytes, row.kept_bytes)


def keep(row: Quota, count: Stored) -> None:
    """Keep a count with a quota."""
    row.nodes, row.record_bytes, row.kept_bytes = count
