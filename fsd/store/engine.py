"""The database: SQLite in WAL mode, or PostgreSQL; one way to read and one to write."""

from __future__ import annotations

import errno
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    DisconnectionError,
    NoSuchModuleError,
    SQLAlchemyError,
)
from sqlalchemy.orm import Session

from fskit.sqlite import use_wal
from fsproto.errors import BadSettingError, FsError, OutOfSpaceError

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

_BUSY_SECONDS = 60
_CHECKPOINT = "wal_autocheckpoint=8000"
"""Pages, 32 MB: SQLite's own 1,000 would copy and sync the same pages at every larger commit."""

_BEFORE_COMMIT = "before commit"
_CHANGED = "changed"
_UNUSED = "unused since"
_BUSY = "busy timeout"

_AWAY = ("08", "57P01", "57P02", "57P03")
"""SQLSTATE of a lost connection, and of a PostgreSQL that stops, has crashed, or starts."""
MOST_CONNECTIONS = 26
"""Connections of one process to PostgreSQL."""
_KEPT = 16
"""Those that stay open when they are no longer in use."""
_UNUSED_S = 5.0
"""A pooled connection that was unused for so long is tried before it is used."""
_DAMAGED = "The database is damaged.", "Mend it, or restore a backup of the whole home."
_NO_LOCKS = (
    "The database is on a file system that cannot lock files.",
    "Move the data directory to a local disk.",
)
_FILE_PROBLEMS = {
    "SQLITE_NOTADB": _DAMAGED,
    "SQLITE_CORRUPT": _DAMAGED,
    "SQLITE_READONLY": (
        "The database may not be written: its file, or the folder it is in, is read-only.",
        "Give the user who runs fsd the right to write both.",
    ),
    "SQLITE_CANTOPEN": (
        "The database's file cannot be opened.",
        "It must be a file that the user who runs fsd may write, in such a folder.",
    ),
    "SQLITE_BUSY": (
        "Another process has locked the database.",
        "Wait for its end, and give the same command again.",
    ),
    "SQLITE_PROTOCOL": _NO_LOCKS,
    "SQLITE_IOERR_LOCK": _NO_LOCKS,
    "SQLITE_IOERR_RDLOCK": _NO_LOCKS,
    "SQLITE_IOERR_SHM": _NO_LOCKS,
    "SQLITE_IOERR": (
        "The disk of the database fails.",
        "Look into the system's log; if the disk is broken, restore a backup to another one.",
    ),
}
"""Problem and remedy by the start of SQLite's name of an error; the first that fits counts."""


class DatabaseError(FsError):
    """The server's database does not answer."""

    code = "database"
    default_hint = "Its log says why."


class DatabaseAwayError(DatabaseError):
    """The connection to the database was lost or cannot be made; it may come back soon.

    It is unknown whether a commit that was under way took place.
    """

    default_hint = "Check that it runs, and that its URL is right; its log says more."


class Database:
    """A source of database sessions: `read` sees one snapshot, `write` commits all or nothing."""

    def __init__(self, url: str | URL, connections: int = MOST_CONNECTIONS) -> None:
        """Take an SQLAlchemy URL; opens nothing yet. `BadSettingError` if it is not one.

        `connections` is how many there may be at once to PostgreSQL.
        """
        try:
            self.url = make_url(url)
            sqlite = self.url.get_backend_name() == "sqlite"
            # Parameters include hashes of tickets, which must not appear in tracebacks.
            self.engine = _sqlite(self.url) if sqlite else _postgresql(self.url, connections)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise BadSettingError(
                f"The database URL cannot be used: {error}.",
                hint="Write sqlite:////absolute/path or postgresql+psycopg://user@host/name, "
                "the latter with the 'postgresql' extra installed.",
            ) from None
        self._sqlite = sqlite
        self.on_change: Callable[[set[int]], None] | None = None
        """Called after a commit with what `note_change` has noted in its transaction."""
        self._one_writer = threading.Lock()
        self._readers = self.engine.execution_options(
            **({} if sqlite else {"isolation_level": "REPEATABLE READ"})
        )
        self._writers = self.engine.execution_options(**({"fs_write": True} if sqlite else {}))

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a read-only session on one snapshot."""
        with _translated(), Session(self._readers) as session:
            yield session

    @contextmanager
    def write(self, within_s: float | None = None) -> Iterator[Session]:
        """Open one transaction; it commits at the end and rolls back if the block raises.

        `DatabaseError` if other transactions hold locks for longer than `within_s` seconds. None is
        a minute on SQLite, and without end on PostgreSQL.
        """
        writers = self._writers
        if within_s is not None:
            writers = writers.execution_options(fs_within_s=within_s)
        with _translated(), self._turn(within_s or _BUSY_SECONDS), Session(writers) as session:
            if within_s is not None and not self._sqlite:
                limit = text("SELECT set_config('lock_timeout', :limit, true)")
                session.execute(limit, {"limit": f"{int(within_s * 1000)}ms"})
            yield session
            for act in session.info.pop(_BEFORE_COMMIT, ()):
                act(session)
            session.commit()
            changed = session.info.pop(_CHANGED, None)
        if changed and self.on_change is not None:
            self.on_change(changed)

    def own_connection(self) -> Any:  # noqa: ANN401 - the driver's own
        """Return a new connection of the driver, outside the pool; the caller closes it.

        Only for PostgreSQL.
        """
        with _translated():
            pooled = self.engine.raw_connection()
            connection = pooled.driver_connection
            pooled.detach()
            return connection

    @contextmanager
    def _turn(self, within_s: float) -> Iterator[None]:
        """Wait for the turn to write: SQLite allows one writer at a time and keeps no queue."""
        if not self._sqlite:
            yield
            return
        if not self._one_writer.acquire(timeout=within_s):
            raise DatabaseError("The database is busy with other changes.")
        try:
            yield
        finally:
            self._one_writer.release()

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a bare connection for migrations, which run before the schema exists."""
        with _translated(), self._turn(_BUSY_SECONDS), self._writers.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def before_commit(db: Session, act: Callable[[Session], None]) -> None:
    """Call `act` just before the commit of the `Database.write` transaction of `db`."""
    db.info.setdefault(_BEFORE_COMMIT, []).append(act)


def _postgresql(url: URL, connections: int) -> Engine:
    kept = min(_KEPT, connections)
    engine = create_engine(
        url, pool_size=kept, max_overflow=connections - kept, hide_parameters=True
    )

    @event.listens_for(engine, "checkin")
    def _returned(_connection: object, record: Any) -> None:  # noqa: ANN401 - the library's own
        record.info[_UNUSED] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _taken(connection: Any, record: Any, _proxy: object) -> None:  # noqa: ANN401
        # PostgreSQL may have restarted since; to try each time would cost a round trip.
        since = record.info.get(_UNUSED)
        if since is None or time.monotonic() - since < _UNUSED_S:
            return
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            connection.rollback()
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error  # the pool makes another connection

    return engine


def note_change(db: Session, payer_id: int) -> None:
    """Note that trees in a user's quota change in a transaction of `Database.write`."""
    db.info.setdefault(_CHANGED, set()).add(payer_id)


def _sqlite(url: URL) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        pool_use_lifo=True,  # the connection that was used last has the pages in its cache
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own
        # The driver would start transactions by itself, and too late; `_begin` starts them.
        connection.isolation_level = None
        try:
            use_wal(connection, _BUSY_SECONDS)
        except OSError as error:
            raise DatabaseError(_NO_LOCKS[0], hint=_NO_LOCKS[1]) from error
        for pragma in ("synchronous=FULL", "foreign_keys=ON", _CHECKPOINT):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer takes its lock at once: SQLite may refuse to upgrade a reader to a writer.
        options = connection.get_execution_options()
        write, within_s = options.get("fs_write"), options.get("fs_within_s", _BUSY_SECONDS)
        # Past SQLAlchemy, which needs more time for such a statement than SQLite.
        driver: Any = connection.connection.driver_connection
        start = "BEGIN IMMEDIATE" if write else "BEGIN"
        try:
            if connection.info.get(_BUSY) != within_s:
                driver.execute(f"PRAGMA busy_timeout = {int(within_s * 1000)}")
                connection.info[_BUSY] = within_s
            driver.execute(start)
        except sqlite3.Error as error:
            raise DBAPIError.instance(start, None, error, sqlite3.Error) from error

    return engine


@contextmanager
def _translated() -> Iterator[None]:
    """Translate the driver's exceptions into errors of fsd."""
    try:
        yield
    except DBAPIError as error:
        if _is_full(error.orig):
            log.error("no space left for the database")  # noqa: TRY400 - no fault of the program
            raise OutOfSpaceError("The server has no space left.") from error
        if found := _of_the_file(error.orig):
            log.error("the database failed: %s", found[0])  # noqa: TRY400 - no fault of the program
            raise DatabaseError(found[0], hint=found[1]) from error
        if error.connection_invalidated or _is_away(error.orig):
            kind = type(error.orig).__name__
            log.error("the database cannot be reached: %s", kind)  # noqa: TRY400 - no fault here
            raise DatabaseAwayError("The database cannot be reached.") from error
        raise _failed(error.orig) from error
    except SQLAlchemyError as error:
        raise _failed(error) from error


def _failed(error: BaseException | None) -> DatabaseError:
    kind = type(error).__name__
    log.error("the database failed: %s", kind)  # its own words may quote a value
    return DatabaseError(f"The database failed: {kind}.")


def _of_the_file(error: BaseException | None) -> tuple[str, str] | None:
    """Return the problem with SQLite's file and a remedy, because SQLite has no log of its own."""
    name = getattr(error, "sqlite_errorname", "")
    return next((said for start, said in _FILE_PROBLEMS.items() if name.startswith(start)), None)


def _is_away(error: BaseException | None) -> bool:
    """Return whether PostgreSQL refused a connection, or ended it: it stops, starts or is gone."""
    if type(error).__module__.partition(".")[0] != "psycopg":
        return False
    state = getattr(error, "sqlstate", None)
    if state is None:  # the server said nothing
        return type(error).__name__ == "OperationalError"
    return str(state).startswith(_AWAY)


def _is_full(error: BaseException | None) -> bool:
    text = str(error).lower()
    # On a full disk in WAL mode, SQLite first fails to extend its shared index.
    shared_index = getattr(error, "sqlite_errorname", None) == "SQLITE_IOERR_SHMSIZE"
    return (
        shared_index
        or getattr(error, "errno", None) == errno.ENOSPC
        or any(sign in text for sign in ("disk is full", "no space left", "disk quota"))
    )
