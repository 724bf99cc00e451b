"""Constructors of services from a data directory and its database."""

from __future__ import annotations

import os
from collections.abc import Callable

from fsd.audit.admin import AuditAdmin
from fsd.audit.log import AuditLog
from fsd.blobs.opening import open_store
from fsd.cluster.keys import ServerKeys
from fsd.cluster.registry import check_clock
from fsd.home.home import Home, HomeError
from fsd.master_key import check_users, open_vault
from fsd.policies import BlobPolicy, HookPolicy, LoginPolicy, QuotaPolicy
from fsd.services.accounts.access import AccessAdmin
from fsd.services.accounts.groups import GroupAdmin
from fsd.services.accounts.users import UserAdmin
from fsd.services.drops.keys import DropKeyAdmin
from fsd.services.files.key_log import KeyLogWriter
from fsd.services.login.login import LoginService
from fsd.store import schema
from fsd.store.engine import MOST_CONNECTIONS, Database
from fskit.clock import now_ms
from fsproto.errors import BadSettingError


def find_database(home: Home, url: str | None, connections: int = MOST_CONNECTIONS) -> Database:
    """Return the database of a data directory, without changing its schema.

    `BadSettingError` if the server last ran with another database: accounts that are added here
    would be lost.
    """
    last = home.last_run().get("database")
    if url is None and last not in (None, str(home.database_url)):
        raise BadSettingError(
            f"This home's server uses the database {last}.",
            hint="Give its URL with --database or FSD_DATABASE.",
        )
    return Database(url or home.database_url, connections)


def open_database(
    home: Home,
    url: str | None,
    connections: int = MOST_CONNECTIONS,
    *,
    now_ms: Callable[[], int] = now_ms,
) -> Database:
    """Return the database of a data directory with the newest schema; see `find_database`.

    `HomeError` if the server last ran with this database, which is empty: it was lost.
    `IntegrityError` if an older schema is that of another server; then it is not upgraded.
    `BadSettingError` if the clocks differ; then nothing is changed.
    """
    database = find_database(home, url, connections)
    used = database.url.render_as_string(hide_password=True) if url else None
    was_used = home.has_run and home.last_run().get("database") == used
    revision = schema.current(database)
    if was_used and revision is None:
        database.close()
        raise HomeError(
            f"The database of {home.path} is missing or empty, but a server has used it.",
            hint="Restore a backup into a new data directory with 'fsadmin restore', or put the "
            "database back from a copy.",
        )
    try:
        check_clock(database, now_ms)
        if revision not in (None, schema.head()) and schema.is_known(revision):
            check_users(home, database)
        schema.upgrade(database)
    except BaseException:
        database.close()
        raise
    return database


def open_server(home: Home, url: str | None, connections: int = MOST_CONNECTIONS) -> Database:
    """Return the database like `open_database`; the data directory has the keys that are in it.

    `IntegrityError` if the two belong to different servers.
    """
    database = open_database(home, url, connections)
    try:
        server_keys(home, database).renew()
    except BaseException:
        database.close()
        raise
    return database


def server_keys(home: Home, database: Database) -> ServerKeys:
    """Return the keys that all nodes use."""
    return ServerKeys(home, database, lambda: open_vault(home, database))


def people(
    home: Home,
    database: Database,
    actor: str = "fsadmin",
    quota: QuotaPolicy | None = None,
    blobs: BlobPolicy | None = None,
) -> UserAdmin:
    """Build the administrator's service for users; `actor` is named in the audit log."""
    vault = open_vault(home, database)
    return UserAdmin(
        database,
        vault,
        open_store(home.blobs, blobs or BlobPolicy()),
        log=KeyLogWriter(home.log_key(), now_ms=now_ms),
        audit=AuditLog(vault, now_ms),
        actor=actor,
        now_ms=now_ms,
        quota=quota,
    )


def access(home: Home, database: Database, actor: str = "fsadmin") -> AccessAdmin:
    """Build the administrator's service for access: secrets, codes, locks, sessions."""
    vault = open_vault(home, database)
    audit = AuditLog(vault, now_ms)
    return AccessAdmin(database, vault, audit=audit, actor=actor, now_ms=now_ms, random=os.urandom)


def groups(home: Home, database: Database, actor: str = "fsadmin") -> GroupAdmin:
    """Build the administrator's service for groups."""
    audit = AuditLog(open_vault(home, database), now_ms)
    return GroupAdmin(database, audit=audit, actor=actor, now_ms=now_ms)


def drop_keys(home: Home, database: Database, actor: str = "fsadmin") -> DropKeyAdmin:
    """Build the administrator's service for drop keys."""
    audit = AuditLog(open_vault(home, database), now_ms)
    return DropKeyAdmin(database, audit=audit, actor=actor, now_ms=now_ms)


def accounts(home: Home, database: Database, policy: LoginPolicy | None = None) -> LoginService:
    """Build the login service."""
    vault = open_vault(home, database)
    return LoginService(
        database,
        vault,
        audit=AuditLog(vault, now_ms),
        policy=policy or LoginPolicy(),
        log=KeyLogWriter(home.log_key(), now_ms=now_ms),
        now_ms=now_ms,
        random=os.urandom,
    )


def audit_keeper(
    home: Home, database: Database, actor: str, hooks: HookPolicy | None = None
) -> AuditAdmin:
    """Build the administrator's service for the audit log.

    With `hooks`, entries that are moved out of the log are taken over for hooks before.
    """
    log = AuditLog(open_vault(home, database), now_ms)
    if hooks is None or not (hooks.command or hooks.url):
        return AuditAdmin(home, database, log, actor)
    from fsd.hooks.worker import make_outbox

    return AuditAdmin(home, database, log, actor, make_outbox(database, log, hooks).collect_in)
