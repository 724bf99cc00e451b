"""The master key, under which secrets and the server's keys are sealed, and its successor.

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
from fsd.home.home import MASTER_KEY, HomeBusyError
from fsd.store.models import User
from fsd.store.repos import cluster, users
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
    with database.read() as db:
        vault, next_key = _passing(home, random, lambda vault: _check(vault, db))
    if next_key is not None:
        home.replace(MASTER_KEY, next_key)
    return vault


def check_users(home: Home, database: Database) -> None:
    """Raise `IntegrityError` if this is not the master key of a database with any older schema.

    So an upgrade does not change the database of another server.
    """
    if not (home.path / MASTER_KEY).exists():
        return
    with database.read() as db:
        row = db.execute(select(User.id, User.otp_secret).limit(1)).first()
    if row is None:
        return
    user, sealed = row
    _passing(home, os.urandom, lambda vault: vault.open(sealed, user))


def _passing(
    home: Home, random: Random, check: Callable[[Vault], object]
) -> tuple[Vault, bytes | None]:
    """Return the vault that passes a check, and its key if that is the next key.

    `IntegrityError` if neither the current nor the next key passes.
    """
    vault = Vault(home.master_key(), random)
    try:
        check(vault)
    except IntegrityError:
        if not (home.path / NEXT).exists():
            raise
    else:
        return vault, None
    key = home.read(NEXT)
    vault = Vault(key, random)
    check(vault)
    return vault, key


def _check(vault: Vault, db: Db) -> None:
    """Open something that is sealed in the database, if there is anything."""
    user = users.anybody(db)
    if user is not None:
        vault.open(user.otp_secret, user.id)
        return
    head = audit_rows.head(db)
    if head is not None:
        vault.open(head.sealed_key, AUDIT_KEY)
    for name, sealed in cluster.keys(db).items():
        vault.open_key(name, sealed)


def rotate(
    home: Home,
    database: Database,
    random: Random = os.urandom,
    *,
    actor: str = "fsadmin",
    now_ms: Callable[[], int] = clock.now_ms,
) -> int:
    """Seal everything under a new master key; return how many secrets there were.

    `HomeBusyError` while fsd, or a command that may seal something, uses this data directory, or
    while a node runs on the database. If one secret does not open, nothing is changed. The keys of
    the audit log and of the server are sealed again too.
    """
    with home.lock(), home.maintenance(), home.keys(exclusive=True):
        old = open_vault(home, database, random)
        with database.read() as db:
            _refuse_while_nodes_run(db, now_ms())
        key = random(crypto.KEY_SIZE)
        home.replace(NEXT, key)
        new = Vault(key, random)
        count = 0
        with database.write() as db:
            _refuse_while_nodes_run(db, now_ms())
            for name, shared in cluster.keys(db).items():
                cluster.put_key(db, name, new.seal_key(name, old.open_key(name, shared)))
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


def _refuse_while_nodes_run(db: Db, now_ms: int) -> None:
    """Raise `HomeBusyError` if a node runs; a node that starts waits for this transaction."""
    cluster.hold_nodes(db)
    alive = cluster.alive(db, now_ms)
    if alive:
        names = ", ".join(sorted({f"{node.name} ({node.address})" for node in alive}))
        raise HomeBusyError(
            f"A node runs on this database: {names}.",
            hint="Stop fsd on all nodes. One that was killed counts as running for a minute.",
        )
