"""Queries on blobs: staged ones, those of nodes, and the small ones' bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session as Db

from fsd.store.models import Blob, table
from fsd.store.repos import uploads
from fsd.store.repos.many import SOME, for_each, helpings, of_some

_BLOBS = table(Blob)


class HeldBlob(NamedTuple):
    """The row of a blob with a verified root, without its bytes."""

    owner_id: int
    node_id: bytes | None
    """The node it belongs to; None until its commit."""
    salt: bytes
    size: int


class PlacedBlob(NamedTuple):
    """The row of a blob that the blob store has."""

    root: bytes
    salt: bytes
    size: int
    place: str


def placed_after(db: Db, root: bytes, most: int) -> list[PlacedBlob]:
    """Return some blobs of the blob store, in the order of their roots, after a root."""
    columns = (Blob.root, Blob.salt, Blob.size, Blob.place)
    wanted = select(*columns).where(Blob.root > root, Blob.place.is_not(None))
    rows = db.execute(wanted.order_by(Blob.root).limit(most))
    return [PlacedBlob(root, salt, size, place or "") for root, salt, size, place in rows]


def get(db: Db, root: bytes) -> Blob | None:
    """Return one blob's row, without its bytes."""
    return db.get(Blob, root)


_AS_IS = {"synchronize_session": False}
"""Do not update objects that the session already has in memory."""


_FACTS = select(_BLOBS.c.root, *(_BLOBS.c[name] for name in HeldBlob._fields)).where(
    _BLOBS.c.root.in_(SOME)
)
_KNOWN = select(_BLOBS.c.root).where(_BLOBS.c.root.in_(SOME))
_NEW = insert(_BLOBS)
_ASSIGN = (
    update(_BLOBS)
    .where(_BLOBS.c.root == bindparam("of"))
    .values(node_id=bindparam("to"), owner_id=bindparam("owner"))
)


def held(db: Db, roots: Iterable[bytes]) -> dict[bytes, HeldBlob]:
    """Return the rows of those of the blobs that exist, by root."""
    return {row[0]: HeldBlob._make(row[1:]) for row in of_some(db, _FACTS, roots)}


def known(db: Db, roots: Iterable[bytes]) -> set[bytes]:
    """Return those of the roots that have a row."""
    return {root for (root,) in of_some(db, _KNOWN, roots)}


def add_all(db: Db, rows: Sequence[dict[str, object]]) -> None:
    """Store rows of new blobs."""
    for_each(db, _NEW, rows)


def assign(db: Db, owner_id: int, nodes: Mapping[bytes, bytes]) -> None:
    """Assign staged blobs to nodes (node by root) in the tree of a user."""
    rows: list[dict[str, object]] = [
        {"of": root, "to": node, "owner": owner_id} for root, node in nodes.items()
    ]
    for_each(db, _ASSIGN, rows)


def drop(db: Db, roots: Sequence[bytes]) -> list[str]:
    """Delete the rows of blobs; doom and return the places that the blob store must empty."""
    outside = [
        place
        for some in helpings(roots)
        for place in db.scalars(
            select(Blob.place).where(Blob.root.in_(some), Blob.place.is_not(None))
        )
        if place
    ]
    uploads.doom(db, outside)
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


_SMALL = select(_BLOBS.c.node_id, _BLOBS.c.root, _BLOBS.c.data).where(
    _BLOBS.c.root.in_(SOME), _BLOBS.c.node_id.is_not(None), _BLOBS.c.data.is_not(None)
)


def small_ones(db: Db, roots: Iterable[bytes]) -> dict[tuple[bytes, bytes], bytes]:
    """Return the bytes of small blobs, by their node and root."""
    return {(node, root): data for node, root, data in of_some(db, _SMALL, roots)}


def staged_before(db: Db, before_ms: int) -> list[bytes]:
    """Return the roots of blobs that were staged before a time and never committed."""
    old = select(Blob.root).where(Blob.node_id.is_(None), Blob.created_ms < before_ms)
    return list(db.scalars(old))


def uncommitted(db: Db, owner_id: int) -> list[tuple[bytes, int]]:
    """Return the salts and sizes of a user's complete blobs that wait for their commit."""
    rows = db.execute(
        select(Blob.salt, Blob.size).where(Blob.node_id.is_(None), Blob.owner_id == owner_id)
    )
    return [(salt, size) for salt, size in rows]


def staged_with(db: Db, owner_id: int, salt: bytes) -> Blob | None:
    """Return a user's complete, uncommitted blob with this salt."""
    staged = select(Blob).where(
        Blob.node_id.is_(None), Blob.owner_id == owner_id, Blob.salt == salt, Blob.data.is_(None)
    )
    return db.scalars(staged.limit(1)).first()


def name_by_root(db: Db) -> None:
    """Set the place of every blob in the blob store to one that is named after its root."""
    on_postgresql = db.get_bind().dialect.name == "postgresql"
    name = (
        func.encode(_BLOBS.c.root, "hex") if on_postgresql else func.lower(func.hex(_BLOBS.c.root))
    )
    place = func.substr(name, 1, 2).concat("/").concat(name)
    db.execute(update(_BLOBS).where(_BLOBS.c.data.is_(None)).values(place=place))
