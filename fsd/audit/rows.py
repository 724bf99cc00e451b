"""Queries on the audit log."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import delete, func, insert, or_, select
from sqlalchemy.orm import Session as Db

from fsd.audit.chain import ChainEntry, Span
from fsd.store.audit_models import AuditEntry, AuditHead

_LOCK = 0x66736461
"""Number of the lock under which the very first entry is written: "fsda" in ASCII."""
_AT_ONCE = 1000


def head(db: Db) -> AuditHead | None:
    """Return the head as it is."""
    return db.get(AuditHead, 1)


def hold_head(db: Db) -> AuditHead | None:
    """Return the head, locked until the end of this transaction."""
    held = select(AuditHead).where(AuditHead.id == 1).with_for_update()
    held = held.execution_options(populate_existing=True)
    found = db.scalar(held)
    if found is None and db.get_bind().dialect.name == "postgresql":
        # There is no row to lock yet: this lock serialises two transactions that start the log.
        db.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        found = db.scalar(held)
    return found


def span(head: AuditHead) -> Span:
    """Return the stretch that a head is about."""
    return Span(head.base, head.base_hash, head.last, head.last_hash)


def add(db: Db, entry: ChainEntry, entry_hash: bytes) -> None:
    """Write an entry."""
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
    db.execute(insert(AuditEntry).values(**fields, hash=entry_hash))


def entries(
    db: Db, *, after: int = 0, since_ms: int | None = None, about: str | None = None
) -> Iterator[tuple[ChainEntry, bytes]]:
    """Yield entries and their stored hashes, in the order of their numbers.

    `about` leaves only those that a name has done or that are about it.
    """
    wanted = select(AuditEntry).where(AuditEntry.seq > after).order_by(AuditEntry.seq)
    if since_ms is not None:
        wanted = wanted.where(AuditEntry.at_ms >= since_ms)
    if about is not None:
        wanted = wanted.where(or_(AuditEntry.actor == about, AuditEntry.subject == about))
    for row in db.execute(wanted.execution_options(yield_per=_AT_ONCE)).scalars():
        yield _entry(row), row.hash


def hash_of(db: Db, seq: int) -> bytes | None:
    """Return the stored hash of an entry."""
    return db.scalar(select(AuditEntry.hash).where(AuditEntry.seq == seq))


def is_empty(db: Db) -> bool:
    """Return whether the log has no entries."""
    return db.scalar(select(AuditEntry.seq).limit(1)) is None


def newest(db: Db) -> int:
    """Return the highest number there is; 0 for none."""
    return db.scalar(select(func.max(AuditEntry.seq))) or 0


def drop_until(db: Db, seq: int) -> None:
    """Delete entries up to and with a number."""
    db.execute(delete(AuditEntry).where(AuditEntry.seq <= seq))


def _entry(row: AuditEntry) -> ChainEntry:
    return ChainEntry(
        row.seq, row.at_ms, row.event, row.actor, row.subject, row.address, row.detail
    )
