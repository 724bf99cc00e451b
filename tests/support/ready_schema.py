"""The newest schema for new SQLite databases, made in one step.

The migrations take a quarter of a second of CPU time, and each server with a new home runs them
all. The statements used instead are those that SQLite lists of a database that the migrations made.
Only the programs that the tests fork do so: the tests of the migrations run in the test's process.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config


def use(migrated: Path) -> None:
    """Let this process make the schema of a new SQLite database as it is in `migrated`."""
    with closing(sqlite3.connect(migrated)) as db:
        _, *statements, _ = db.iterdump()  # without the first and the last, of its transaction
    migrate = command.upgrade

    def upgrade(config: Config, revision: str) -> None:
        connection = config.attributes["connection"]
        if revision != "head" or connection.dialect.name != "sqlite" or _has_tables(connection):
            migrate(config, revision)
            return
        for statement in statements:
            connection.exec_driver_sql(statement)

    command.upgrade = upgrade  # type: ignore[assignment]


def _has_tables(connection) -> bool:
    return bool(connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema").scalar())
