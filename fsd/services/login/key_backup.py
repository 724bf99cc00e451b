"""Backups of identities: stored for their owner, returned to a holder of the recovery phrase.

The server cannot read a backup. It sends a backup for a one-time password, which this consumes,
*and* a signature by the key of the recovery phrase. `LoginService` handles the attempt itself:
throttle, and one answer for all errors.
"""

from __future__ import annotations

from sqlalchemy.orm import Session as Db

from fsd.store import models
from fsd.store.repos import key_backups, users
from fsproto import crypto
from fsproto.errors import RemoteProtocolError
from fsproto.limits import MAX_BACKUP
from fsproto.messages.account import Backup


def check(ask: Backup) -> None:
    """Raise `RemoteProtocolError` for a backup that is malformed or too large."""
    if len(ask.recovery_key) != crypto.ED25519_SIZE or not 0 < len(ask.sealed) <= MAX_BACKUP:
        raise RemoteProtocolError("A backup is malformed or too large.")


def keep(db: Db, user_id: int, ed25519: bytes, ask: Backup, now_ms: int) -> None:
    """Store a user's backup; the user is logged in with that identity key (32 bytes)."""
    backup = models.KeyBackup(
        user_id=user_id,
        ed25519=ed25519,
        recovery_key=ask.recovery_key,
        sealed=ask.sealed,
        created_ms=now_ms,
    )
    key_backups.put(db, backup)


def find(db: Db, user: models.User | None) -> models.KeyBackup | None:
    """Return a user's backup, if it is of the user's current keys."""
    if user is None:
        return None
    backup, bundle = key_backups.of_user(db, user.id), users.bundle(db, user.id)
    if backup is None or bundle is None or backup.ed25519 != bundle.ed25519:
        return None
    return backup
