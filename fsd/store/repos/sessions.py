"""Queries on sessions."""

from __future__ import annotations

from sqlalchemy import BindParameter, bindparam, delete, or_, select, update
from sqlalchemy.orm import Session as Db

from fsd.store.models import Session, User, table
from fsd.store.repos.many import scalar

_SESSIONS, _USERS = table(Session), table(User)
_NOW: BindParameter[int] = bindparam("now")
_KEY_OF_LOGIN = select(_SESSIONS.c.ed25519).where(
    _SESSIONS.c.id == bindparam("session"),
    _SESSIONS.c.expires_ms > _NOW,
    _USERS.c.id == bindparam("user"),
    _USERS.c.disabled.is_(False),
    or_(_USERS.c.expires_ms.is_(None), _USERS.c.expires_ms > _NOW),
)
"""Each busy connection runs it once a second."""


def by_ticket(db: Db, ticket_hash: bytes, now_ms: int) -> Session | None:
    """Return the session of a ticket, unless it has ended."""
    return db.scalar(
        select(Session).where(Session.ticket_hash == ticket_hash, Session.expires_ms > now_ms)
    )


def by_ssh_key(db: Db, ssh_key: bytes, now_ms: int) -> list[tuple[User, Session]]:
    """Return the sessions that are bound to a public key (its SHA-256), with their users."""
    bound = select(User, Session).join(User, Session.user_id == User.id)
    rows = db.execute(bound.where(Session.ssh_key == ssh_key, Session.expires_ms > now_ms))
    return [(user, session) for user, session in rows]


def end_of_ssh_key(db: Db, user_id: int, ssh_key: bytes) -> None:
    """End the sessions of a user that are bound to a public key."""
    db.execute(delete(Session).where(Session.user_id == user_id, Session.ssh_key == ssh_key))


def running(db: Db, ids: list[int], now_ms: int) -> set[int]:
    """Return those of some sessions that are still valid and whose user is not disabled."""
    held = select(Session.id).join(User, Session.user_id == User.id)
    held = held.where(Session.expires_ms > now_ms, User.disabled.is_(False))
    return set(db.scalars(held.where(Session.id.in_(ids))))


def make_room(db: Db, user_id: int, most: int, now_ms: int) -> None:
    """End the sessions of a user that were unused for the longest time, if `most` are running."""
    of_user = select(Session.id).where(Session.user_id == user_id, Session.expires_ms > now_ms)
    newest_first = of_user.order_by(Session.used_ms.desc(), Session.id.desc())
    surplus = list(db.scalars(newest_first.offset(most - 1)))
    if surplus:
        db.execute(delete(Session).where(Session.id.in_(surplus)))


def end(db: Db, session_id: int) -> None:
    """End one session."""
    db.execute(delete(Session).where(Session.id == session_id))


def key_of_login(db: Db, session_id: int, user_id: int, now_ms: int) -> bytes | None:
    """Return the identity key of a valid session; None if it has ended or its user is out."""
    key: bytes | None = scalar(db, _KEY_OF_LOGIN, session=session_id, user=user_id, now=now_ms)
    return key


def alive(db: Db, session_id: int, now_ms: int) -> bool:
    """Return whether a session is still valid."""
    found = select(Session.id).where(Session.id == session_id, Session.expires_ms > now_ms)
    return db.scalar(found) is not None


def end_all(db: Db, user_id: int) -> None:
    """End every session of a user."""
    db.execute(delete(Session).where(Session.user_id == user_id))


def end_by(db: Db, user_id: int, at_ms: int) -> None:
    """Make all sessions of a user end at a given time at the latest."""
    longer = update(Session).where(Session.user_id == user_id, Session.expires_ms > at_ms)
    ends = longer.values(expires_ms=at_ms)
    db.execute(ends.execution_options(synchronize_session=False))


def end_others(db: Db, user_id: int, session_id: int) -> None:
    """End every session of a user but one."""
    db.execute(delete(Session).where(Session.user_id == user_id, Session.id != session_id))


def of_user(db: Db, user_id: int, now_ms: int) -> list[Session]:
    """Return a user's sessions that have not ended."""
    running = select(Session).where(Session.user_id == user_id, Session.expires_ms > now_ms)
    return list(db.scalars(running.order_by(Session.created_ms)))


def everybodys(db: Db, now_ms: int) -> list[tuple[str, Session]]:
    """Return all sessions that have not ended, with the name of their user."""
    running = select(User.name, Session).join(User).where(Session.expires_ms > now_ms)
    rows = db.execute(running.order_by(User.name, Session.created_ms, Session.id))
    return [(name, session) for name, session in rows]


def touch(db: Db, session_id: int, now_ms: int, address: str) -> None:
    """Record when, and from which address, a session was last resumed."""
    noted = update(Session).where(Session.id == session_id).values(used_ms=now_ms, address=address)
    db.execute(noted.execution_options(synchronize_session=False))


def tidy(db: Db, now_ms: int) -> None:
    """Delete expired sessions."""
    db.execute(delete(Session).where(Session.expires_ms <= now_ms))
