"""Queries on the key log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session as Db

from fsd.store.models import Bundle, LogEntry, LogHead, User, table
from fsd.store.repos.many import SOME, of_some, scalar

_ONLY = 1
"""The id of the one head."""
_LOG = table(LogEntry)
_ROOTS = select(_LOG.c.index, _LOG.c.root).where(_LOG.c.index.in_(SOME))
_NEWEST = select(func.max(_LOG.c.index)).where(_LOG.c.user == bindparam("of"))


def head(db: Db) -> LogHead:
    """Return the head."""
    return db.get_one(LogHead, _ONLY)


def head_for_update(db: Db) -> LogHead:
    """Return the head, locked until the end of this transaction, so that no other adds an entry."""
    return db.get_one(LogHead, _ONLY, with_for_update=True, populate_existing=True)


def roots(db: Db, sizes: Iterable[int]) -> dict[int, bytes]:
    """Return the root over the first entries, by their number; 0 and more than exist are absent."""
    possible = {size - 1 for size in sizes if size < 1 << 63}
    return {index + 1: root for index, root in of_some(db, _ROOTS, possible)}


def entries(db: Db, first: int, count: int) -> list[bytes]:
    """Return up to `count` entries from number `first` on."""
    rows = select(LogEntry.payload).where(LogEntry.index >= first).order_by(LogEntry.index)
    return list(db.scalars(rows.limit(count)))


def newest_index(db: Db, user: str) -> int:
    """Return the index of the newest entry about a user; -1 if there is none."""
    found: int | None = scalar(db, _NEWEST, of=user)
    return -1 if found is None else found


def newest_first(db: Db, user: str) -> Iterator[bytes]:
    """Yield the entries about a user, the newest first."""
    rows = select(LogEntry.payload).where(LogEntry.user == user).order_by(LogEntry.index.desc())
    return iter(db.scalars(rows))


def last_of(db: Db, user: str) -> bytes | None:
    """Return the newest entry about a user."""
    newest = select(LogEntry.payload).where(LogEntry.user == user)
    return db.scalar(newest.order_by(LogEntry.index.desc()).limit(1))


def everybody(db: Db) -> list[tuple[User, Bundle]]:
    """Return all users who have keys, with all their bundles, the oldest first."""
    rows = db.execute(
        select(User, Bundle)
        .join(Bundle, Bundle.user_id == User.id)
        .order_by(User.id, Bundle.version)
    )
    return [(user, bundle) for user, bundle in rows]
