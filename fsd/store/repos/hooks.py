"""Queries on the events that wait for hooks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, case, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as Db

from fsd.store.hook_models import HookEvent, HookProgress

_AS_IS = {"synchronize_session": False}


def seen(db: Db) -> int | None:
    """Return the number of the last audit entry that was read; None if none was ever read."""
    return db.scalar(select(HookProgress.seen))


def hold_progress(db: Db, begin_at: int) -> HookProgress:
    """Return the progress, locked until the end of the transaction; it starts at `begin_at`."""
    held = select(HookProgress).with_for_update()
    found = db.scalar(held)
    if found is None:
        try:
            with db.begin_nested():
                db.add(HookProgress(id=1, seen=begin_at, dropped=0))
        except IntegrityError:
            pass  # another server has made it
        found = db.scalars(held.execution_options(populate_existing=True)).one()
    return found


def add_up(db: Db, one: HookEvent) -> bool:
    """Add an event to an equal one without a try so far; return False if there is none."""
    same = (
        HookEvent.target == one.target,
        HookEvent.event == one.event,
        HookEvent.actor == one.actor,
        HookEvent.subject == one.subject,
        HookEvent.tries == 0,
    )
    change = update(HookEvent).where(*same)
    change = change.values(
        at_ms=case((HookEvent.count == 0, one.at_ms), else_=HookEvent.at_ms),
        count=HookEvent.count + one.count,
        address=one.address,
        detail=one.detail,
    )
    return bool(db.execute(change, execution_options=_AS_IS).rowcount)  # type: ignore[attr-defined]


def drop_oldest(db: Db, target: str, event: str, most: int) -> int:
    """Delete the oldest events of a kind above a number; return how many there were."""
    of_kind = (HookEvent.target == target, HookEvent.event == event)
    excess = (db.scalar(select(func.count()).where(*of_kind)) or 0) - most
    if excess <= 0:
        return 0
    oldest = select(HookEvent.id).where(*of_kind).order_by(HookEvent.at_ms).limit(excess)
    gone = list(db.scalars(oldest))
    db.execute(delete(HookEvent).where(*of_kind, HookEvent.id.in_(gone)), execution_options=_AS_IS)
    return len(gone)


def is_due(db: Db, target: str, now_ms: int) -> bool:
    """Return whether an event is due for a target."""
    return db.scalar(_due(target, now_ms)) is not None


def claim(db: Db, target: str, now_ms: int, until_ms: int) -> HookEvent | None:
    """Return an event that is due, and reserve it for this server until a time."""
    found: HookEvent | None = db.scalar(_due(target, now_ms).with_for_update(skip_locked=True))
    if found is not None:
        found.tries += 1
        found.next_ms = until_ms
        db.flush()
    return found


def _due(target: str, now_ms: int) -> Select[Any]:
    due = (HookEvent.target == target, HookEvent.count > 0, HookEvent.next_ms <= now_ms)
    return select(HookEvent).where(*due).order_by(HookEvent.next_ms).limit(1)


def put_off(db: Db, one: HookEvent, next_ms: int, error: str) -> None:
    """Store the error of a try, and the time of the next one."""
    change = update(HookEvent).where(HookEvent.id == one.id, HookEvent.target == one.target)
    db.execute(change.values(next_ms=next_ms, error=error), execution_options=_AS_IS)


def remove(db: Db, one: HookEvent) -> None:
    """Delete an event."""
    same = (HookEvent.id == one.id, HookEvent.target == one.target)
    db.execute(delete(HookEvent).where(*same), execution_options=_AS_IS)


def tidy(db: Db, now_ms: int, before_ms: int) -> None:
    """Delete what adds up nothing any longer, and events from before a time."""
    over = (HookEvent.count == 0) & (HookEvent.next_ms <= now_ms)
    gone = delete(HookEvent).where(over | (HookEvent.at_ms < before_ms))
    db.execute(gone, execution_options=_AS_IS)


def waiting(db: Db) -> list[HookEvent]:
    """Return all events that wait, the oldest first."""
    asked = select(HookEvent).where(HookEvent.count > 0)
    return list(db.scalars(asked.order_by(HookEvent.at_ms, HookEvent.id, HookEvent.target)))


def dropped(db: Db) -> int:
    """Return how many events were deleted because too many waited."""
    return db.scalar(select(HookProgress.dropped)) or 0


def make_due(db: Db, now_ms: int, targets: Collection[str]) -> int:
    """Make all events that wait for these targets due now; return their number."""
    late = update(HookEvent).where(HookEvent.count > 0, HookEvent.target.in_(targets))
    done = db.execute(late.values(next_ms=now_ms), execution_options=_AS_IS)
    return int(done.rowcount)  # type: ignore[attr-defined]
