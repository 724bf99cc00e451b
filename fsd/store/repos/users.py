"""Queries on users, their public keys, and their used one-time passwords."""

from __future__ import annotations

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session as Db

from fsd.store.models import Blob, Bundle, Node, Tree, UsedOtp, User

APART = 2
"""By how many steps two right codes of one moment may be apart."""


def by_name(db: Db, name: str) -> User | None:
    """Return the user of that name."""
    return db.scalar(select(User).where(User.name == name))


def name_of(db: Db, user_id: int) -> str:
    """Return what a user is called."""
    return db.scalar(select(User.name).where(User.id == user_id)) or "?"


def anybody(db: Db) -> User | None:
    """Return the user who was added first."""
    return db.scalar(select(User).order_by(User.id).limit(1))


def everybody(db: Db) -> list[User]:
    """Return all users by name."""
    return list(db.scalars(select(User).order_by(User.name)))


def hold(db: Db, user_id: int) -> User | None:
    """Return a user, held against others who would change their keys until the end of this.

    Who enrols holds them by the step that is used up.
    """
    return db.get(User, user_id, with_for_update=True, populate_existing=True)


def is_expired(expires_ms: int | None, now_ms: int) -> bool:
    """Return whether an account has expired; None: it never does."""
    return expires_ms is not None and expires_ms <= now_ms


def is_out(user: User, now_ms: int) -> bool:
    """Return whether an account may not log in: it is disabled, or has expired."""
    return user.disabled or is_expired(user.expires_ms, now_ms)


def bundle(db: Db, user_id: int) -> Bundle | None:
    """Return a user's current public keys."""
    newest = select(Bundle).where(Bundle.user_id == user_id).order_by(Bundle.version.desc())
    return db.scalar(newest.limit(1))


def use_step(db: Db, user_id: int, secret_no: int, step: int, now_ms: int) -> bool:
    """Use up a step; False if it, or a later one, was used before.

    One conditional update decides between any number of logins at the same moment, in whatever
    process or node; the row in `used_otps` is the record, and its key a second lock.
    """
    later = update(User).where(User.id == user_id, User.last_step < step).values(last_step=step)
    if db.execute(later.execution_options(synchronize_session=False)).rowcount != 1:  # type: ignore[attr-defined]
        return False
    _note_step(db, user_id, secret_no, step, now_ms)
    return True


def move_to_next(db: Db, user_id: int, secret_no: int, step: int, now_ms: int) -> bool:
    """Put the new secret, number `secret_no`, in the place of the old one, and use up its step.

    False if there is none any more: of any number at once one finds it; and if a much later step
    let somebody in before. (One a little later may have: of the old secret, by another clock.)
    """
    waiting = update(User).where(
        User.id == user_id, User.next_secret.is_not(None), User.last_step <= step + APART
    )
    moved = waiting.values(otp_secret=User.next_secret, next_secret=None, last_step=step)
    if db.execute(moved.execution_options(synchronize_session=False)).rowcount != 1:  # type: ignore[attr-defined]
        return False
    _note_step(db, user_id, secret_no, step, now_ms)
    return True


def _note_step(db: Db, user_id: int, secret_no: int, step: int, now_ms: int) -> None:
    row = {"user_id": user_id, "secret_no": secret_no, "step": step, "used_ms": now_ms}
    db.execute(insert(UsedOtp).values(row))


def was_used(db: Db, user_id: int, secret_no: int, step: int) -> bool:
    """Tell whether a step of a secret has let somebody in within the last day."""
    return db.get(UsedOtp, (user_id, secret_no, step)) is not None


def tree(db: Db, user_id: int) -> Tree | None:
    """Return the root of a user's tree."""
    return db.get(Tree, user_id)


def usage(db: Db, user_id: int) -> tuple[dict[int, int], int]:
    """Return how many nodes of each kind a user owns (roots left out), and the bytes stored.

    What was removed does not count as a node, but its bytes do as long as they are kept; so do
    those of older versions.
    """
    kinds = db.execute(
        select(Node.kind, func.count())
        .where(Node.owner_id == user_id, Node.parent_id.is_not(None), Node.removed_ms.is_(None))
        .group_by(Node.kind)
    )
    stored = db.scalar(
        select(func.coalesce(func.sum(Blob.size), 0)).where(
            Blob.owner_id == user_id, Blob.node_id.is_not(None)
        )
    )
    return {kind: count for kind, count in kinds}, int(stored or 0)  # noqa: C416 - rows to a dict


def drop_tree(db: Db, user_id: int) -> list[bytes]:
    """Delete a user's nodes and blobs; return the roots of blobs that lie in the blob store."""
    outside = db.scalars(select(Blob.root).where(Blob.owner_id == user_id, Blob.data.is_(None)))
    roots = list(outside)
    for owned in (Blob, Node):
        db.execute(delete(owned).where(owned.owner_id == user_id))
    db.execute(delete(Tree).where(Tree.user_id == user_id))
    return roots


def drop_used(db: Db, before_ms: int) -> None:
    """Forget used steps from before a time; `last_step` refuses them all the same."""
    db.execute(delete(UsedOtp).where(UsedOtp.used_ms < before_ms))


def drop_bundles(db: Db, user_id: int) -> None:
    """Forget a user's public keys."""
    db.execute(delete(Bundle).where(Bundle.user_id == user_id))
