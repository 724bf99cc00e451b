"""The newest schema for new SQLite databases, made in one step.

The migrations take a quarter of a second of CPU time, and each server with a new home runs them
all. The statements used instead are those that SQLite lists of a database that the migrations made.
Programs that the tests fork do so, and tests that restore backups. The tests of the migrations run
in the test's process, where this is not in use.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config

from fsd.store import schema


def use(migrated: Path, setattr_: Callable[[object, str, object], None] = setattr) -> None:
    """Let this process make the schema of a new SQLite database as it is in `migrated`.

    A `MonkeyPatch` can undo it.
    """
    with closing(sqlite3.connect(migrated)) as db:
        _, *statements, _ = db.iterdump()  # without the first and the last, of its transaction
    migrate, newest = command.upgrade, {"head", schema.head()}

    def upgrade(config: Config, revision: str) -> None:
        connection = config.attributes["connection"]
        if revision not in newest or connection.dialect.name != "sqlite" or _has_tables(connection):
            migrate(config, revision)
            return
        for statement in statements:
            connection.exec_driver_sql(statement)

    setattr_(command, "upgrade", upgrade)


def _has_tables(connection) -> bool:
    return bool(connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema").scalar())
