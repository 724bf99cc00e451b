"""Queries on penalties for refused logins."""

from __future__ import annotations

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.orm import Session as Db

from fsd.auth.throttle import Lane, Penalty
from fsd.store.login_models import LoginPenalty


def hold(db: Db, lanes: list[Lane]) -> None:
    """Lock lanes until the end of this transaction.

    On SQLite, a write transaction does so already.
    """
    if db.get_bind().dialect.name == "postgresql":
        for lane in lanes:
            name = f"{lane.user} {lane.network}"
            db.execute(select(func.pg_advisory_xact_lock(func.hashtext(name))))


def of(db: Db, lane: Lane) -> Penalty:
    """Return the penalty of a lane."""
    row = db.execute(
        select(LoginPenalty.failures, LoginPenalty.last_ms, LoginPenalty.until_ms).where(*_is(lane))
    ).first()
    return Penalty(*row) if row else Penalty()


def put(db: Db, lane: Lane, penalty: Penalty) -> None:
    """Store the penalty of a lane; the lane is locked."""
    values = {
        "failures": penalty.failures,
        "last_ms": penalty.last_ms,
        "until_ms": penalty.until_ms,
    }
    change = update(LoginPenalty).where(*_is(lane)).values(values)
    if not db.execute(change.execution_options(synchronize_session=False)).rowcount:  # type: ignore[attr-defined]
        db.execute(insert(LoginPenalty).values(user=lane.user, network=lane.network, **values))


def forget(db: Db, lane: Lane) -> None:
    """Delete the penalty of a lane."""
    db.execute(delete(LoginPenalty).where(*_is(lane)))


def forget_user(db: Db, user: str) -> None:
    """Delete a name's penalties in every lane."""
    db.execute(delete(LoginPenalty).where(LoginPenalty.user == user))


def longest(db: Db, user: str, now_ms: int) -> int:
    """Return the latest time until which any lane of a name is throttled; 0 if none is."""
    until = select(func.max(LoginPenalty.until_ms)).where(LoginPenalty.user == user)
    return db.scalar(until.where(LoginPenalty.until_ms > now_ms)) or 0


def tidy(db: Db, before_ms: int) -> None:
    """Delete the penalties of lanes without a refused login since a time."""
    past = (LoginPenalty.last_ms < before_ms, LoginPenalty.until_ms < before_ms)
    db.execute(delete(LoginPenalty).where(*past))


def _is(lane: Lane) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return LoginPenalty.user == lane.user, LoginPenalty.network == lane.network
