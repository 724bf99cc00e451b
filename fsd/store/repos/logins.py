"""Queries on each account's login state, notices and recovery codes."""

from __future__ import annotations

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session as Db

from fsd.store.login_models import LoginNotice, LoginState, RecoveryCode, ToldNotice
from fsd.store.models import Session, User

DROPPED = "dropped"
"""The kind of the notice about files in the user's drop box."""
SHARED = "shared"
"""The kind of the notice that others have shared something with the user; in place of an address,
it has the name of the last of them."""
TOLD_ONCE = (DROPPED, "recovery-codes-low")
"""Kinds of notices that only one session gets. All others warn of an intruder, whose own session
may be the first one to ask; so each session gets them."""
KEPT_MS = 30 * 86_400_000
"""How long a notice waits for further sessions."""


def begin(db: Db, user_id: int) -> None:
    """Create the login state of a new user."""
    db.add(LoginState(user_id=user_id, failures=0, drift_ms=0, secret_no=1, last_network=""))
    db.flush()


def hold(db: Db, name: str) -> LoginState | None:
    """Return a user's login state, locked until the end of this transaction.

    Each change of an account locks the state first, so that no deadlock arises.
    """
    user = select(User.id).where(User.name == name).scalar_subquery()
    held = select(LoginState).where(LoginState.user_id == user).with_for_update()
    return db.scalar(held.execution_options(populate_existing=True))


def state(db: Db, user_id: int) -> LoginState:
    """Return a user's login state without a lock."""
    return db.get_one(LoginState, user_id)


# --- notices


def notify(
    db: Db, user_id: int, kind: str, at_ms: int, address: str, *, besides: int | None = None
) -> None:
    """Add one to the count of a user's notice; their state is locked.

    `besides` is the session that caused it, which needs no notice.
    """
    same = (LoginNotice.user_id == user_id, LoginNotice.kind == kind)
    change = update(LoginNotice).where(*same)
    change = change.values(count=LoginNotice.count + 1, at_ms=at_ms, address=address)
    if not db.execute(change.execution_options(synchronize_session=False)).rowcount:  # type: ignore[attr-defined]
        row = {"user_id": user_id, "kind": kind, "count": 1, "at_ms": at_ms, "address": address}
        db.execute(insert(LoginNotice).values(row))
    _forget_told(db, user_id, [kind])
    if besides is not None:
        db.execute(insert(ToldNotice).values(session_id=besides, kind=kind))


def set_notice(db: Db, user_id: int, kind: str, count: int, at_ms: int) -> None:
    """Set the number in a user's notice for their next login; their state is locked."""
    db.merge(LoginNotice(user_id=user_id, kind=kind, count=count, at_ms=at_ms, address=""))


def notices(db: Db, user_id: int, session_id: int, now_ms: int) -> list[LoginNotice]:
    """Return the notices that a session of a user has not been sent yet."""
    told = select(ToldNotice.kind).where(ToldNotice.session_id == session_id)
    wanted = select(LoginNotice).where(
        LoginNotice.user_id == user_id,
        LoginNotice.at_ms > now_ms - KEPT_MS,
        LoginNotice.kind.not_in(told),
    )
    return list(db.scalars(wanted.order_by(LoginNotice.kind)))


def note_told(db: Db, user_id: int, session_id: int, kinds: list[str], now_ms: int) -> None:
    """Record that a session was sent notices; delete those that no other session needs."""
    rows = [{"session_id": session_id, "kind": kind} for kind in kinds if kind not in TOLD_ONCE]
    if rows:
        db.execute(insert(ToldNotice), rows)
    ended = [kind for kind in kinds if kind in TOLD_ONCE]
    old = LoginNotice.at_ms <= now_ms - KEPT_MS
    late = select(LoginNotice.kind).where(LoginNotice.user_id == user_id, old)
    ended += db.scalars(late)
    if ended:
        same = (LoginNotice.user_id == user_id, LoginNotice.kind.in_(ended))
        db.execute(delete(LoginNotice).where(*same))
        _forget_told(db, user_id, ended)


def _forget_told(db: Db, user_id: int, kinds: list[str]) -> None:
    mine = select(Session.id).where(Session.user_id == user_id).scalar_subquery()
    told = delete(ToldNotice).where(ToldNotice.session_id.in_(mine), ToldNotice.kind.in_(kinds))
    db.execute(told.execution_options(synchronize_session=False))


# --- recovery codes


def use_code(db: Db, user_id: int, code_hash: bytes) -> bool:
    """Consume a recovery code; False if there is none. Of concurrent calls, only one succeeds."""
    same = (RecoveryCode.user_id == user_id, RecoveryCode.code_hash == code_hash)
    return bool(db.execute(delete(RecoveryCode).where(*same)).rowcount)  # type: ignore[attr-defined]


def has_code(db: Db, user_id: int, code_hash: bytes) -> bool:
    """Return whether a user has that recovery code."""
    same = (RecoveryCode.user_id == user_id, RecoveryCode.code_hash == code_hash)
    return db.scalar(select(RecoveryCode.made_ms).where(*same)) is not None


def codes_left(db: Db, user_id: int) -> int:
    """Return how many recovery codes a user has."""
    owned = select(func.count()).select_from(RecoveryCode).where(RecoveryCode.user_id == user_id)
    return db.scalar(owned) or 0


def drop_codes(db: Db, user_id: int) -> None:
    """Delete a user's recovery codes."""
    db.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))


def replace_codes(db: Db, user_id: int, hashes: list[bytes], now_ms: int) -> None:
    """Replace all of a user's recovery codes."""
    drop_codes(db, user_id)
    rows = [{"user_id": user_id, "code_hash": each, "made_ms": now_ms} for each in hashes]
    db.execute(insert(RecoveryCode), rows)
