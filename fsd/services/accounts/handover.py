"""Closing an account: nobody is behind it any more, and others go on with what it has shared.

The server can read nothing of a tree, so nobody can be given what was not shared with them. What a
closed account keeps is what others need to verify and open what they see: its name, its public keys
and its tree. All by which it could be entered, or be given something, goes.
"""

from __future__ import annotations

from sqlalchemy.orm import Session as Db

from fsd.store import models
from fsd.store.repos import drops, key_backups, logins, quotas, sessions, shares, users
from fsproto.errors import ConflictError, NotAllowedError


def check_open(db: Db, user: models.User) -> None:
    """Raise `NotAllowedError` for an account that is closed."""
    if quotas.handover(db, user.id) is not None:
        raise NotAllowedError(
            f"The account of {user.name} is closed.",
            hint=f"It can be handed over again, or removed: 'fsadmin remove-user {user.name}'.",
        )


def check_holds_nothing(db: Db, user: models.User) -> None:
    """Raise `ConflictError` for who holds what closed accounts have left."""
    held = [users.name_of(db, one) for one in quotas.handed_to(db, user.id)]
    if held:
        raise ConflictError(
            f"{user.name} holds the storage of {', '.join(sorted(held))}.",
            hint="Remove that first, or hand it over to somebody else.",
        )


def close(db: Db, user: models.User, heir: models.User, now_ms: int) -> list[bytes]:
    """Close an account, and have what it holds count for an heir; all of both is held.

    Returns the roots of blobs that are to be deleted: of what was dropped and never accepted.
    """
    before = quotas.handover(db, user.id)
    if before is not None:
        db.delete(before)
        db.flush()
        quotas.start_over(db, before.payer_id)
    user.disabled, user.next_secret = True, None
    sessions.end_all(db, user.id)
    logins.drop_codes(db, user.id)
    key_backups.drop(db, user.id)
    shares.drop_grants_to(db, user.id)
    for _, key in drops.keys(db, [user.id]):
        drops.remove_key(db, key.fingerprint)
    gone = drops.remove(db, [drop.id for drop, _ in drops.waiting(db, user.id)])
    quotas.hand_over(db, user.id, heir.id, now_ms)
    return gone
