"""Queries on backups of identities."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.orm import Session as Db

from fsd.store.models import KeyBackup, User


def of_user(db: Db, user_id: int) -> KeyBackup | None:
    """Return a user's backup."""
    return db.get(KeyBackup, user_id)


def put(db: Db, backup: KeyBackup) -> None:
    """Store a user's backup; it replaces the earlier one."""
    # Of two concurrent calls, the second waits for the first and then finds a row to replace.
    db.get(User, backup.user_id, with_for_update=True)
    db.merge(backup)


def drop(db: Db, user_id: int) -> None:
    """Delete a user's backup."""
    db.execute(delete(KeyBackup).where(KeyBackup.user_id == user_id))
