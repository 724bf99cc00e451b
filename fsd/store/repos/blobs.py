"""Queries on blobs: staged ones, those of nodes, and the small ones' bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.orm import Session as Db

from fsd.store.models import Base, Blob, Node
from fsd.store.repos.many import helpings


def get(db: Db, root: bytes) -> Blob | None:
    """Return one blob's row, without its bytes."""
    return db.get(Blob, root)


_AS_IS = {"synchronize_session": False}
"""Rows that a session holds already are not looked up and changed as well."""


def get_all(db: Db, roots: Iterable[bytes]) -> dict[bytes, Blob]:
    """Return those of the blobs that exist, by root."""
    wanted = list(roots)
    return {
        blob.root: blob
        for some in helpings(wanted)
        for blob in db.scalars(select(Blob).where(Blob.root.in_(some)))
    }


def add_all(db: Db, rows: Sequence[dict[str, object]]) -> None:
    """Store rows of new blobs."""
    if rows:
        db.execute(insert(Blob), list(rows))


def assign(db: Db, owners: Mapping[bytes, bytes]) -> None:
    """Give staged blobs to nodes: node by root."""
    if owners:
        blobs = Base.metadata.tables[Blob.__tablename__]
        db.connection().execute(
            update(blobs).where(blobs.c.root == bindparam("of")).values(node_id=bindparam("to")),
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


def staged_with(db: Db, owner_id: int, salt: bytes) -> Blob | None:
    """Return a blob of a user that is whole, has this salt, and was never committed."""
    staged = select(Blob).where(
        Blob.node_id.is_(None), Blob.owner_id == owner_id, Blob.salt == salt, Blob.data.is_(None)
    )
    return db.scalars(staged.limit(1)).first()


def known(db: Db, roots: Sequence[bytes]) -> set[bytes]:
    """Return those of the roots that have a row."""
    return set(get_all(db, roots))
