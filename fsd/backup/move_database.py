"""Copies all rows of a database into an empty one of another kind, and compares them.

Unlike a backup, a move keeps everything: sessions, throttles, uploads that can be resumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select

from fsd.backup import rows
from fsd.backup.restore import emptied_if_it_fails
from fsd.store import schema
from fsproto import crypto
from fsproto.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

    from fsd.store.engine import Database

_KEPT_BY_SCHEMA = frozenset({"alembic_version"})
_SUM = 1 << 256


@dataclass(frozen=True)
class TableSummary:
    """What one table has."""

    rows: int
    digest: str
    """A hash of its rows that does not depend on their order."""


def move(source: Database, target: Database) -> dict[str, TableSummary]:
    """Copy all rows of `source`, which nothing else may use during the copy; return them by table.

    `ConflictError` if `target` has tables. If anything fails, `target` is empty again.
    """
    if source.url.get_backend_name() == target.url.get_backend_name() == "sqlite":
        raise UsageError(
            "Both databases are SQLite files.",
            hint="Stop fsd and copy the file, or use 'fsadmin backup' and 'fsadmin restore'.",
        )
    revision = schema.current(source) or ""
    with emptied_if_it_fails(target, revision):
        with source.connect() as taken, taken.begin():
            with target.connect() as given, given.begin():
                here, there = (rows.tables(one, _KEPT_BY_SCHEMA) for one in (taken, given))
                put = rows.fill(given, there)
                for table, piece in rows.dump(taken, here):
                    put(table, piece)
                rows.go_on_from(given, rows.numbers(taken, here), there)
            expected = _summaries(taken)
        with target.connect() as again, again.begin():
            found = _summaries(again)
        wrong = sorted(name for name in expected if found.get(name) != expected[name])
        if wrong or found.keys() != expected.keys():
            raise IntegrityError(
                f"The new database has other rows in {', '.join(wrong) or 'some tables'}; "
                "it is empty again.",
                hint="Nothing was changed in the old database; give the same command again.",
            )
    return expected


def _summaries(connection: Connection) -> dict[str, TableSummary]:
    tables = rows.tables(connection, _KEPT_BY_SCHEMA)
    return {str(table.name): _summary(connection, table) for table in tables}


def _summary(connection: Connection, table: Table) -> TableSummary:
    """Return the number of rows and the sum of their hashes.

    The databases sort text in different ways, so the order of rows must not matter.
    """
    encode = msgspec.msgpack.Encoder().encode
    columns = sorted(table.columns, key=lambda column: str(column.name))
    total = count = 0
    ask = select(*columns).execution_options(yield_per=rows.ROWS_AT_ONCE)
    for row in connection.execute(ask):
        digest = crypto.sha256(encode([_plain(value) for value in row]))
        total = (total + int.from_bytes(digest, "big")) % _SUM
        count += 1
    return TableSummary(count, f"{total:064x}")


def _plain(value: Any) -> object:  # noqa: ANN401 - whatever a column has
    """Return a value that both kinds of database write alike."""
    return bytes(value) if isinstance(value, bytearray | memoryview) else value
