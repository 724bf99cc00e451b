"""Builds, out of a home and its database, what administrators and people need."""

from __future__ import annotations

import os
import time

from fsd.audit.admin import AuditKeeper
from fsd.audit.log import AuditLog
from fsd.blobs.local import LocalBlobs
from fsd.home.home import Home
from fsd.home.master_key import open_vault
from fsd.services.accounts.access import Access
from fsd.services.accounts.groups import Groups
from fsd.services.accounts.users import People
from fsd.services.drops.keys import DropKeyring
from fsd.services.files.key_log import LogKeeper
from fsd.services.login.login import Accounts, LoginPolicy
from fsd.services.quota_policy import QuotaPolicy
from fsd.store import schema
from fsd.store.engine import Database
from fsproto.errors import BadSettingError


def now_ms() -> int:
    """Return Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def find_database(home: Home, url: str | None) -> Database:
    """Return a home's database as it is.

    `BadSettingError` if the home's daemon used another one: accounts made here would be lost.
    """
    last = home.last_run().get("database")
    if url is None and last not in (None, _shown(home.database_url)):
        raise BadSettingError(
            f"This home's server uses the database {last}.",
            hint="Give its URL with --database or FSD_DATABASE.",
        )
    return Database(url or home.database_url)


def open_database(home: Home, url: str | None) -> Database:
    """Return a home's database, brought to head; what `find_database` refuses is refused here."""
    database = find_database(home, url)
    schema.upgrade(database)
    return database


def _shown(url: str) -> str:
    return Database(url).url.render_as_string(hide_password=True)


def people(
    home: Home, database: Database, actor: str = "fsadmin", quota: QuotaPolicy | None = None
) -> People:
    """Build what an administrator needs; `actor` is who that is, for the audit log."""
    vault = open_vault(home, database)
    return People(
        database,
        vault,
        LocalBlobs(home.blobs),
        log=LogKeeper(home.log_key(), now_ms=now_ms),
        audit=AuditLog(vault, now_ms),
        actor=actor,
        now_ms=now_ms,
        quota=quota,
    )


def access(home: Home, database: Database, actor: str = "fsadmin") -> Access:
    """Build what an administrator needs to look after the door."""
    vault = open_vault(home, database)
    audit = AuditLog(vault, now_ms)
    return Access(database, vault, audit=audit, actor=actor, now_ms=now_ms, random=os.urandom)


def groups(home: Home, database: Database, actor: str = "fsadmin") -> Groups:
    """Build what an administrator needs to put people into groups."""
    audit = AuditLog(open_vault(home, database), now_ms)
    return Groups(database, audit=audit, actor=actor, now_ms=now_ms)


def drop_keys(home: Home, database: Database, actor: str = "fsadmin") -> DropKeyring:
    """Build what an administrator looks after the keys with that may drop for people."""
    audit = AuditLog(open_vault(home, database), now_ms)
    return DropKeyring(database, audit=audit, actor=actor, now_ms=now_ms)


def accounts(home: Home, database: Database, policy: LoginPolicy | None = None) -> Accounts:
    """Build what people log in at."""
    vault = open_vault(home, database)
    return Accounts(
        database,
        vault,
        audit=AuditLog(vault, now_ms),
        policy=policy or LoginPolicy(),
        log=LogKeeper(home.log_key(), now_ms=now_ms),
        now_ms=now_ms,
        random=os.urandom,
    )


def audit_keeper(home: Home, database: Database, actor: str) -> AuditKeeper:
    """Build what an administrator looks after the audit log with."""
    return AuditKeeper(home, database, AuditLog(open_vault(home, database), now_ms), actor)
