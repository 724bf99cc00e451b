"""Hand-over: closes an account for good, while members keep the nodes it has shared.

The server cannot read a tree, so it can give a user no node beyond the user's existing shares. A
closed account keeps what members need to verify and open the shared nodes: its name, its public
keys and its tree. Everything that allows a login, or a new grant to the account, is deleted.
"""

from __future__ import annotations

from sqlalchemy.orm import Session as Db

from fsd.store import models
from fsd.store.repos import (
    drops,
    key_backups,
    logins,
    quotas,
    requests,
    sessions,
    shares,
    uploads,
    users,
)
from fsproto.errors import ConflictError, NotAllowedError


def check_open(db: Db, user: models.User) -> None:
    """Raise `NotAllowedError` for an account that is closed."""
    if quotas.handover(db, user.id) is not None:
        raise NotAllowedError(
            f"The account of {user.name} is closed.",
            hint=f"It can be handed over again, or removed: 'fsadmin remove-user {user.name}'.",
        )


def check_holds_nothing(db: Db, user: models.User) -> None:
    """Raise `ConflictError` if a user holds the storage of closed accounts."""
    held = [users.name_of(db, one) for one in quotas.handed_to(db, user.id)]
    if held:
        raise ConflictError(
            f"{user.name} holds the storage of {', '.join(sorted(held))}.",
            hint="Remove that first, or hand it over to another user.",
        )


def close(db: Db, user: models.User, heir: models.User, now_ms: int) -> list[str]:
    """Close an account and count its storage for an heir; the caller has locked both.

    Return the places of the blobs to delete: those of drops that were never accepted, and of
    interrupted uploads.
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
    gone += uploads.drop_all(db, user.id) + requests.drop_all(db, user.id)
    quotas.hand_over(db, user.id, heir.id, now_ms)
    return gone
