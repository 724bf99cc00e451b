"""Builds the server from its parts; the one place that knows them all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from fsd.audit.keeping import AuditKeeper
from fsd.audit.log import AuditLog
from fsd.auth.vault import Vault
from fsd.blobs.janitor import Janitor
from fsd.blobs.local import LocalBlobs
from fsd.doors.desk import Desk
from fsd.doors.native import NativeDoor
from fsd.doors.peer import DoorPolicy
from fsd.home import Home
from fsd.services.access import Access
from fsd.services.accounts import Accounts, LoginPolicy
from fsd.services.files import Files
from fsd.services.people import People
from fsd.services.transfers import Transfers
from fsd.store import schema
from fsd.store.engine import Database
from fsd.store.repos import users
from fsproto import crypto
from fsproto.errors import BadSettingError, FsError
from fsproto.link import Address

log = logging.getLogger(__name__)

TIDY_EVERY_S = 600.0


class ListenError(FsError):
    """The server cannot listen there."""

    code = "listen"
    default_hint = "Give another address with --listen; port 0 picks a free one."


@dataclass(frozen=True)
class Settings:
    """What the operator decides."""

    home: Home
    listen: Address
    database: str | None = None
    """SQLAlchemy URL; None: SQLite in the home."""
    logins: LoginPolicy = field(default_factory=LoginPolicy)
    door: DoorPolicy = field(default_factory=DoorPolicy)


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


def people(home: Home, database: Database, actor: str = "fsadmin") -> People:
    """Build what an administrator needs; `actor` is who that is, for the audit log."""
    vault = _vault(home, database)
    audit = AuditLog(vault, now_ms)
    return People(database, vault, LocalBlobs(home.blobs), audit=audit, actor=actor, now_ms=now_ms)


def access(home: Home, database: Database, actor: str = "fsadmin") -> Access:
    """Build what an administrator needs to look after the door."""
    vault = _vault(home, database)
    audit = AuditLog(vault, now_ms)
    return Access(database, vault, audit=audit, actor=actor, now_ms=now_ms, random=os.urandom)


def accounts(home: Home, database: Database, policy: LoginPolicy | None = None) -> Accounts:
    """Build what people log in at."""
    vault = _vault(home, database)
    return Accounts(
        database,
        vault,
        audit=AuditLog(vault, now_ms),
        policy=policy or LoginPolicy(),
        now_ms=now_ms,
        random=os.urandom,
    )


def audit_keeper(home: Home, database: Database, actor: str) -> AuditKeeper:
    """Build what an administrator looks after the audit log with."""
    return AuditKeeper(home, database, AuditLog(_vault(home, database), now_ms), actor)


def _vault(home: Home, database: Database) -> Vault:
    """Open a home's vault; `IntegrityError` if its master key is not the one of the database."""
    vault = Vault(home.master_key(), os.urandom)
    with database.read() as db:
        user = users.anybody(db)
        if user is not None:
            vault.open(user.otp_secret, user.id)
    return vault


def serve(settings: Settings, ready: Callable[[Address, str], None]) -> None:
    """Run the daemon until it is told to stop; `ready` is called once it accepts connections."""
    home = settings.home
    home.prepare()
    with home.lock():
        database = open_database(home, settings.database)
        try:
            _run(_main(settings, database, ready))
        finally:
            database.close()


def _run(main: Coroutine[object, None, None]) -> None:
    factory = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


async def _main(
    settings: Settings, database: Database, ready: Callable[[Address, str], None]
) -> None:
    home, host_key = settings.home, settings.home.host_key()
    blobs = LocalBlobs(home.blobs)
    desk = Desk(
        accounts(home, database, settings.logins),
        Files(database, blobs, now_ms=now_ms),
        Transfers(database, blobs, now_ms=now_ms),
    )
    janitor = Janitor(database, blobs, now_ms)
    # This home is ours alone, so whatever is still being received in it was interrupted.
    await asyncio.to_thread(janitor.run, unkept_s=0)
    door = NativeDoor(desk, host_key, settings.door)
    stop = _stop_signal()
    try:
        bound = Address(*await door.open(settings.listen.host, settings.listen.port))
    except OSError as error:
        raise ListenError(
            f"Cannot listen on {settings.listen}: {error.strerror or error}."
        ) from None
    tidying = asyncio.create_task(_tidy_now_and_then(janitor))
    given = database.url.render_as_string(hide_password=True) if settings.database else None
    home.note_run(str(bound), given)
    ready(bound, crypto.fingerprint(host_key.public))
    log.info("ready")
    await stop.wait()
    log.info("stopping: finishing what is in flight")
    tidying.cancel()
    await door.close()
    log.info("stopped")


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop


async def _tidy_now_and_then(janitor: Janitor) -> None:
    while True:
        await asyncio.sleep(TIDY_EVERY_S)
        try:
            await asyncio.to_thread(janitor.run)
        except FsError as error:
            log.warning("tidying failed: %s", error.sentence)
