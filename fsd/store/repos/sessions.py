"""Queries on sessions and refused logins."""

from __future__ import annotations

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session as Db

from fsd.store.models import LoginFailure, Session


def by_ticket(db: Db, ticket_hash: bytes, now_ms: int) -> Session | None:
    """Return the session of a ticket, unless it has ended."""
    return db.scalar(
        select(Session).where(Session.ticket_hash == ticket_hash, Session.expires_ms > now_ms)
    )


def end(db: Db, session_id: int) -> None:
    """End one session."""
    db.execute(delete(Session).where(Session.id == session_id))


def alive(db: Db, session_id: int, now_ms: int) -> bool:
    """Tell whether a session still holds."""
    found = select(Session.id).where(Session.id == session_id, Session.expires_ms > now_ms)
    return db.scalar(found) is not None


def end_all(db: Db, user_id: int) -> None:
    """End every session of a user."""
    db.execute(delete(Session).where(Session.user_id == user_id))


def end_others(db: Db, user_id: int, session_id: int) -> None:
    """End every session of a user but one."""
    db.execute(delete(Session).where(Session.user_id == user_id, Session.id != session_id))


def of_user(db: Db, user_id: int, now_ms: int) -> list[Session]:
    """Return a user's sessions that have not ended."""
    running = select(Session).where(Session.user_id == user_id, Session.expires_ms > now_ms)
    return list(db.scalars(running.order_by(Session.created_ms)))


def hold_failures(db: Db, user: str, address: str) -> None:
    """Have others who count the same failures, in order to add one, wait for the end of this.

    On SQLite a writer's transaction is that already.
    """
    if db.get_bind().dialect.name == "postgresql":
        db.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"{user} {address}"))))


def failures(db: Db, user: str, address: str, since_ms: int) -> int:
    """Count the logins refused to a name from an address since a time."""
    refused = select(func.count()).where(
        LoginFailure.user == user, LoginFailure.address == address, LoginFailure.at_ms > since_ms
    )
    return db.scalar(refused) or 0


def note_failure(db: Db, user: str, address: str, at_ms: int) -> None:
    """Remember a refused login."""
    db.execute(insert(LoginFailure).values(user=user, address=address, at_ms=at_ms))


def tidy(db: Db, now_ms: int, failures_before_ms: int) -> None:
    """Delete sessions that have ended and failures that no longer count."""
    db.execute(delete(Session).where(Session.expires_ms <= now_ms))
    db.execute(delete(LoginFailure).where(LoginFailure.at_ms < failures_before_ms))
