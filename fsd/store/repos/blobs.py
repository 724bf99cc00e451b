"""Queries on blobs: staged ones, those of nodes, and the small ones' bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.orm import Session as Db

from fsd.store.models import Blob, Node, table
from fsd.store.repos.many import helpings

_BLOBS = table(Blob)


class HeldBlob(NamedTuple):
    """What is known of a blob whose root was checked."""

    owner_id: int
    node_id: bytes | None
    """The node it belongs to; None while it waits for its commit."""
    salt: bytes
    size: int


def get(db: Db, root: bytes) -> Blob | None:
    """Return one blob's row, without its bytes."""
    return db.get(Blob, root)


_AS_IS = {"synchronize_session": False}
"""Rows that a session holds already are not looked up and changed as well."""


def held(db: Db, roots: Sequence[bytes]) -> dict[bytes, HeldBlob]:
    """Return what is known of those of the blobs that exist, by root."""
    return {
        root: HeldBlob(*facts)
        for some in helpings(roots)
        for root, *facts in db.execute(
            select(_BLOBS.c.root, *(_BLOBS.c[name] for name in HeldBlob._fields)).where(
                _BLOBS.c.root.in_(some)
            )
        )
    }


def add_all(db: Db, rows: Sequence[dict[str, object]]) -> None:
    """Store rows of new blobs."""
    if rows:
        db.connection().execute(insert(_BLOBS), list(rows))


def assign(db: Db, owners: Mapping[bytes, bytes]) -> None:
    """Give staged blobs to nodes: node by root."""
    if owners:
        db.connection().execute(
            update(_BLOBS).where(_BLOBS.c.root == bindparam("of")).values(node_id=bindparam("to")),
            [{"of": root, "to": node} for root, node in owners.items()],
        )


def drop(db: Db, roots: Sequence[bytes]) -> list[bytes]:
    """Delete blobs; return those that lie in the blob store, to be deleted there too."""
    outside = [
        root
        for some in helpings(roots)
        for root in db.scalars(select(Blob.root).where(Blob.root.in_(some), Blob.data.is_(None)))
    ]
    for some in helpings(roots):
        db.execute(delete(Blob).where(Blob.root.in_(some)), execution_options=_AS_IS)
    return outside


def of_nodes(db: Db, nodes: Sequence[bytes]) -> list[bytes]:
    """Return the roots of the blobs that belong to nodes."""
    return [
        root
        for some in helpings(nodes)
        for root in db.scalars(select(Blob.root).where(Blob.node_id.in_(some)))
    ]


def small_ones(db: Db, owner_id: int, nodes: Sequence[bytes]) -> dict[tuple[bytes, bytes], bytes]:
    """Return the bytes of the small blobs that nodes of a user have now, by node and root."""
    return {
        (node, root): data
        for some in helpings(nodes)
        for node, root, data in db.execute(
            select(Node.id, Blob.root, Blob.data)
            .join(Blob, (Blob.root == Node.blob) & (Blob.node_id == Node.id))
            .where(Node.id.in_(some), Node.owner_id == owner_id, Blob.data.is_not(None))
        )
        if data is not None
    }


def staged_before(db: Db, before_ms: int) -> list[bytes]:
    """Return the roots of blobs that were staged before a time and never committed."""
    old = select(Blob.root).where(Blob.node_id.is_(None), Blob.created_ms < before_ms)
    return list(db.scalars(old))


def known(db: Db, roots: Sequence[bytes]) -> set[bytes]:
    """Return those of the roots that have a row."""
    return {
        root
        for some in helpings(roots)
        for root in db.scalars(select(_BLOBS.c.root).where(_BLOBS.c.root.in_(some)))
    }
