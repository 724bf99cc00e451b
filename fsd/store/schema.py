"""Migration of a database to the schema of this version, and queries on its revision."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, select

from fsd.store.engine import DatabaseError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from fsd.store.engine import Database

_LOCK = 0x667364
"""Number of the advisory lock that servers on one PostgreSQL share: "fsd" in ASCII."""


def _find_migrations() -> Path:
    """Return the folder of revisions: inside `fsd` when installed, next to it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


_MIGRATIONS = _find_migrations()


class NewerDatabaseError(DatabaseError):
    """The database was made by a newer version of fsd."""

    code = "newer-database"
    default_hint = "Install that version, or restore a backup from before the update."


@cache
def _revisions() -> ScriptDirectory:
    """Return the revisions of this version, loaded once."""
    return ScriptDirectory(str(_MIGRATIONS))


def head() -> str:
    """Return the revision that this version needs."""
    return _revisions().get_current_head() or ""


def is_known(revision: str) -> bool:
    """Return whether this version knows a revision; an unknown one is from a newer version."""
    return any(script.revision == revision for script in _revisions().walk_revisions())


def current(database: Database) -> str | None:
    """Return the revision that the database has; None for an empty one."""
    with database.connect() as connection:
        return revision_of(connection)


def revision_of(connection: Connection) -> str | None:
    """Return the revision that the database of a connection has; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(database: Database, to: str = "head") -> None:
    """Migrate the database to `to`; `NewerDatabaseError` if a newer version made it."""
    with database.connect() as connection:
        _hold(connection)
        _check_known(connection)
        # Alembic loads all revisions even if there is nothing to do, which is so at most starts.
        if to != "head" or revision_of(connection) != head():
            command.upgrade(_config(connection), to)
        connection.commit()


def downgrade(database: Database, revision: str) -> None:
    """Migrate the database back to a revision (`base`: remove all tables)."""
    with database.connect() as connection:
        _hold(connection)
        _check_known(connection)
        command.downgrade(_config(connection), revision)
        connection.commit()


def _hold(connection: Connection) -> None:
    """Wait for any other change of schema, and lock out others until this transaction ends.

    On SQLite, a write transaction does so already.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def _check_known(connection: Connection) -> None:
    found = revision_of(connection)
    if found is not None and not is_known(found):
        raise NewerDatabaseError


def _config(connection: Connection) -> Config:
    config = Config()
    # A `%` has a meaning in its values.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
