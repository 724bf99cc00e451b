"""Queries on drops, and on the SSH keys that may drop files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.orm import Session as Db

from fsd.store.drop_models import Drop, DropKey
from fsd.store.models import Blob, Node, User
from fsd.store.repos import blobs
from fsd.store.repos.many import helpings

_PAGE = 100
"""Drops that are read at a time."""


def get(db: Db, drop: bytes) -> Drop | None:
    """Return one drop."""
    return db.get(Drop, drop)


def hold(db: Db, drop: bytes) -> Drop | None:
    """Return one drop, locked until the end of this transaction."""
    return db.get(Drop, drop, with_for_update=True, populate_existing=True)


WaitingDrop = tuple[Drop, Blob]
"""A drop and its blob's row."""


def waiting(db: Db, user_id: int, after: WaitingDrop | None = None) -> list[WaitingDrop]:
    """Return some of the drops that wait for a user, oldest first; none after the last."""
    ask = (
        select(Drop, Blob)
        .join(Blob, Blob.root == Drop.root)
        .where(Drop.user_id == user_id)
        .order_by(Drop.created_ms, Drop.id)
        .limit(_PAGE)
    )
    if after is not None:
        ask = ask.where(tuple_(Drop.created_ms, Drop.id) > (after[0].created_ms, after[0].id))
    return [(drop, blob) for drop, blob in db.execute(ask)]


def load(db: Db, user_id: int) -> tuple[int, int]:
    """Return how many drops wait for a user, and their sealed bytes."""
    ask = (
        select(func.count(), func.coalesce(func.sum(Blob.size), 0))
        .select_from(Drop)
        .join(Blob, Blob.root == Drop.root)
        .where(Drop.user_id == user_id)
    )
    count, size = db.execute(ask).one()
    return int(count), int(size)


def newest_ms(db: Db, user_id: int) -> int:
    """Return when the newest drop that waits for a user arrived; 0 if none waits."""
    return db.scalar(select(func.max(Drop.created_ms)).where(Drop.user_id == user_id)) or 0


def older_than(db: Db, before_ms: int) -> list[bytes]:
    """Return the ids of drops that arrived before a time."""
    return list(db.scalars(select(Drop.id).where(Drop.created_ms < before_ms)))


def of_user(db: Db, user_id: int, drops: Sequence[bytes]) -> list[bytes]:
    """Return those of some drops that wait for a user."""
    return [
        found
        for some in helpings(drops)
        for found in db.scalars(select(Drop.id).where(Drop.id.in_(some), Drop.user_id == user_id))
    ]


def remove(db: Db, drops: Sequence[bytes]) -> list[str]:
    """Delete drops with their blobs; return the places that must be emptied.

    The blob of a node stays, even if the node's owner gave the node the id of a drop.
    """
    roots: list[bytes] = []
    for some in helpings(drops):
        nodes = select(Node.id).where(Node.id.in_(some))
        wanted = select(Drop.root).where(Drop.id.in_(some), Drop.id.not_in(nodes))
        roots += db.scalars(wanted)
        db.execute(delete(Drop).where(Drop.id.in_(some)))
    return blobs.drop(db, roots)


# --- keys


def add_key(db: Db, key: DropKey) -> None:
    """Allow a key to drop files for a user."""
    db.add(key)
    db.flush()


def keys(db: Db, user_ids: Iterable[int] | None = None) -> list[tuple[str, DropKey]]:
    """Return keys, each with the name of its user, by name and age: of some users, or all."""
    ask = select(User.name, DropKey).join(User, User.id == DropKey.user_id)
    if user_ids is not None:
        ask = ask.where(DropKey.user_id.in_(list(user_ids)))
    found = db.execute(ask.order_by(User.name, DropKey.added_ms, DropKey.fingerprint))
    return [(name, one) for name, one in found]


def drop_key_user(db: Db, fingerprint: str) -> tuple[User, DropKey] | None:
    """Return the user for whom a key may drop, and the key; None if there is no such key.

    The caller must check whether that user is disabled.
    """
    ask = select(User, DropKey).join(DropKey, DropKey.user_id == User.id)
    found = db.execute(ask.where(DropKey.fingerprint == fingerprint)).first()
    return None if found is None else (found[0], found[1])


def remove_key(db: Db, fingerprint: str) -> None:
    """Remove a key's right to drop files."""
    db.execute(delete(DropKey).where(DropKey.fingerprint == fingerprint))
