"""Queries on the audit log."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, delete, func, insert, or_, select
from sqlalchemy.orm import Session as Db

from fsd.audit.chain import ChainEntry, Span
from fsd.store.audit_models import AuditEntry, AuditHead

_LOCK = 0x66736461
"""Number of the lock under which the very first entry is written: "fsda" in ASCII."""
_AT_ONCE = 1000


@dataclass(frozen=True)
class EntryFilter:
    """The wanted entries."""

    since_ms: int | None = None
    about: str | None = None
    """Only what this name has done, or what is about it."""
    events: Collection[str] = ()
    """Only these events; none: all."""

    def apply(self, query: Select[Any]) -> Select[Any]:
        """Return a query of entries with the conditions added."""
        if self.since_ms is not None:
            query = query.where(AuditEntry.at_ms >= self.since_ms)
        if self.about is not None:
            query = query.where(
                or_(AuditEntry.actor == self.about, AuditEntry.subject == self.about)
            )
        return query.where(AuditEntry.event.in_(self.events)) if self.events else query


EVERYTHING = EntryFilter()


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
    db: Db, which: EntryFilter = EVERYTHING, *, after: int = 0
) -> Iterator[tuple[ChainEntry, bytes]]:
    """Yield the wanted entries and their stored hashes, in the order of their numbers."""
    wanted = which.apply(select(AuditEntry)).where(AuditEntry.seq > after).order_by(AuditEntry.seq)
    for row in db.execute(wanted.execution_options(yield_per=_AT_ONCE)).scalars():
        yield _entry(row), row.hash


def before_newest(db: Db, which: EntryFilter, count: int) -> int:
    """Return the number after which there are only the newest `count` wanted entries."""
    newest = which.apply(select(AuditEntry.seq)).order_by(AuditEntry.seq.desc()).limit(count)
    first: int | None = db.scalar(select(func.min(newest.subquery().c.seq)))
    return first - 1 if first is not None else 0


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
