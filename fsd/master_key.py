"""The master key, under which one-time password secrets are sealed at rest, and its successor.

    master.key        the current key
    master.key.next   during a rotation: the next key

A rotation writes the new key next to the old one, seals every secret again in one transaction, and
then replaces the old key. After an interruption at any point, one of the two keys opens the secrets
in the database; the next call of `open_vault` finds out which, and finishes the rotation.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from fsd.audit import rows as audit_rows
from fsd.audit.events import AuditEvent
from fsd.audit.log import AUDIT_KEY, AuditLog
from fsd.auth.vault import Vault
from fsd.home.home import MASTER_KEY
from fsd.store.models import User
from fsd.store.repos import users
from fskit import clock
from fsproto import crypto
from fsproto.errors import IntegrityError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session as Db

    from fsd.home.home import Home
    from fsd.store.engine import Database
    from fsproto.types import Random

NEXT = "master.key.next"
SEALED = (User.otp_secret, User.next_secret)
"""Columns of users that are sealed under the master key, the user's id authenticated."""


def open_vault(home: Home, database: Database, random: Random = os.urandom) -> Vault:
    """Return the vault; `IntegrityError` if the master key does not open the database's secrets."""
    vault = Vault(home.master_key(), random)
    with database.read() as db:
        found = _anything(db)
    if found is None:
        return vault
    try:
        vault.open(*found)
    except IntegrityError:
        if not (home.path / NEXT).exists():
            raise
        key = home.read(NEXT)
        vault = Vault(key, random)
        vault.open(*found)
        home.replace(MASTER_KEY, key)
    return vault


def _anything(db: Db) -> tuple[bytes, int] | None:
    """Return one sealed secret of the database and its owner's id, to test a key with."""
    user = users.anybody(db)
    if user is not None:
        return user.otp_secret, user.id
    head = audit_rows.head(db)
    return None if head is None else (head.sealed_key, AUDIT_KEY)


def rotate(
    home: Home,
    database: Database,
    random: Random = os.urandom,
    *,
    actor: str = "fsadmin",
    now_ms: Callable[[], int] = clock.now_ms,
) -> int:
    """Seal everything under a new master key; return how many secrets there were.

    `HomeBusyError` while fsd, or a command that may seal something, uses this data directory. If
    one secret does not open, nothing is changed. The key of the audit log is sealed again too.
    """
    with home.lock(), home.maintenance(), home.keys(exclusive=True):
        old = open_vault(home, database, random)
        key = random(crypto.KEY_SIZE)
        home.replace(NEXT, key)
        new = Vault(key, random)
        count = 0
        with database.write() as db:
            for column in SEALED:
                rows = db.execute(select(User.id, column)).all()
                for user, sealed in rows:
                    if sealed is None:
                        continue
                    again = new.seal(old.open(sealed, user), user)
                    change = update(User).where(User.id == user).values({column.key: again})
                    db.execute(change.execution_options(synchronize_session=False))
                    count += 1
            head = audit_rows.hold_head(db)
            if head is not None:
                head.sealed_key = new.seal(old.open(head.sealed_key, AUDIT_KEY), AUDIT_KEY)
                db.flush()
            AuditLog(new, now_ms).record(db, AuditEvent.MASTER_KEY_ROTATED, actor=actor)
        home.replace(MASTER_KEY, key)
        (home.path / NEXT).unlink()
        return count
