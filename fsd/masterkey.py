"""The master key, under which one-time password secrets are sealed at rest, and its successor.

    master.key        the key that counts
    master.key.next   while a rotation is under way: the one that is about to count

A rotation writes the new key beside the old one, seals every secret anew in one transaction, and
then puts the new key in place. Whenever it is interrupted, one of the two files opens what is in
the database; whoever opens the vault next finds out which, and finishes what was begun.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from fsd.auth.vault import Vault
from fsd.home import MASTER_KEY
from fsd.store.models import User
from fsd.store.repos import users
from fsproto import crypto
from fsproto.errors import IntegrityError

if TYPE_CHECKING:
    from fsd.home import Home
    from fsd.store.engine import Database
    from fsproto.types import Random

NEXT = "master.key.next"
SEALED = (User.otp_secret,)
"""Columns of users that are sealed under the master key, the user's id authenticated."""


def open_vault(home: Home, database: Database, random: Random = os.urandom) -> Vault:
    """Return a home's vault; `IntegrityError` if its master key is not the one of the database."""
    vault = Vault(home.master_key(), random)
    with database.read() as db:
        user = users.anybody(db)
    if user is None:
        return vault
    try:
        vault.open(user.otp_secret, user.id)
    except IntegrityError:
        if not (home.path / NEXT).exists():
            raise
        key = home.read(NEXT)
        vault = Vault(key, random)
        vault.open(user.otp_secret, user.id)
        home.replace(MASTER_KEY, key)
    return vault


def rotate(home: Home, database: Database, random: Random = os.urandom) -> int:
    """Seal everything under a new master key; return how many secrets there were.

    `HomeBusyError` while fsd, or a command that may seal something, runs on this home. If one
    secret does not open, nothing is changed.
    """
    with home.lock(), home.maintenance(), home.keys(exclusive=True):
        old = open_vault(home, database, random)
        key = random(crypto.KEY_SIZE)
        home.replace(NEXT, key)
        new = Vault(key, random)
        count = 0
        with database.write() as db:
            for column in SEALED:
                rows = db.execute(select(User.id, column).where(column.is_not(None))).all()
                for user, sealed in rows:
                    again = new.seal(old.open(sealed, user), user)
                    change = update(User).where(User.id == user).values({column.key: again})
                    db.execute(change.execution_options(synchronize_session=False))
                    count += 1
        home.replace(MASTER_KEY, key)
        (home.path / NEXT).unlink()
        return count
