"""All rows of a database as packed pieces, and back; from either kind of database into either.

Tables are taken as the database has them, not as the models say: a backup made at an older
revision is put back at that one and upgraded then.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import MetaData, Table, delete, func, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from fsd.store.repos.users import APART
from fsproto.errors import IntegrityError

if TYPE_CHECKING:
    from sqlalchemy import Connection

LEFT_OUT = frozenset(
    {
        "alembic_version",
        "cluster_nodes",
        "server_facts",
        "hook_events",
        "hook_progress",
        "sessions",
        "login_failures",
        "login_penalties",
        "recovery_codes",
        "reservations",
        "told_notices",
        "uploads",
        "upload_parts",
        "doomed_places",
    }
)
"""Not backed up: a session that was ended after the backup, or a recovery code that was used since,
must not come back to life with it; nor uploads that will not go on, with what they have reserved
and the places of their blobs, nor events that hooks may have received since."""
_PIECE = 1 << 20
"""About how many bytes of rows are packed together."""
ROWS_AT_ONCE = 500


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """Some rows of one table."""

    columns: list[str]
    rows: list[list[Any]]


def tables(connection: Connection, without: Container[str] = LEFT_OUT) -> list[Table]:
    """Return the tables, except some, in an order in which rows can be put back."""
    metadata = MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name not in without]


def dump(connection: Connection, known: Sequence[Table]) -> Iterator[tuple[str, bytes]]:
    """Yield the rows of every known table in pieces, each with its table's name."""
    encode = msgspec.msgpack.Encoder().encode
    for table in known:
        columns = [str(column.name) for column in table.columns]
        ask = select(table).order_by(*table.primary_key.columns)
        found = connection.execute(ask, execution_options={"yield_per": ROWS_AT_ONCE})
        piece: list[list[Any]] = []
        size = 0
        for row in found:
            piece.append(list(row))
            size += sum(len(v) if isinstance(v, bytes | str) else 8 for v in row)
            if size >= _PIECE:
                yield table.name, encode(Piece(columns, piece))
                piece, size = [], 0
        if piece:
            yield table.name, encode(Piece(columns, piece))


def fill(connection: Connection, known: Sequence[Table]) -> Callable[[str, bytes], int]:
    """Return a function that restores a piece of a known table and returns its number of rows.

    `IntegrityError` for rows that do not fit this database.
    """
    by_name = {table.name: table for table in known}
    for table in reversed(known):  # the initial rows of a new database
        connection.execute(delete(table))

    def put(name: str, data: bytes) -> int:
        try:
            piece = msgspec.msgpack.decode(data, type=Piece)
            rows = [dict(zip(piece.columns, row, strict=True)) for row in piece.rows]
            for start in range(0, len(rows), ROWS_AT_ONCE):
                connection.execute(insert(by_name[name]), rows[start : start + ROWS_AT_ONCE])
        except (
            msgspec.MsgspecError,
            KeyError,
            ValueError,
            RecursionError,
            SQLAlchemyError,
        ) as error:
            raise IntegrityError(
                f"The backup's rows of the table {name} do not fit the database."
            ) from error
        return len(rows)

    return put


# --- the highest numbers given so far, which must not be given again


def numbers(connection: Connection, known: Sequence[Table]) -> dict[str, int]:
    """Return the last assigned number of each known table that numbers its rows."""
    if connection.dialect.name == "sqlite":
        if not connection.execute(
            text("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'")
        ).first():
            return {}
        found = connection.execute(text("SELECT name, seq FROM sqlite_sequence"))
        names = {table.name for table in known}
        return {name: number for name, number in found if name in names}
    last: dict[str, int] = {}
    for table in known:
        sequence = _sequence(connection, table)
        if sequence is not None:
            number, called = connection.execute(
                text(f"SELECT last_value, is_called FROM {sequence}")  # noqa: S608 - its own name
            ).one()
            last[table.name] = number if called else 0
    return last


def go_on_from(connection: Connection, last: dict[str, int], known: Sequence[Table]) -> None:
    """Make each known table continue its row numbers after these."""
    for table in known:
        number = last.get(table.name, 0)
        if "id" in table.c and table.c.id.type.python_type is int:
            highest = connection.scalar(select(func.max(table.c.id)))
            number = max(number, highest or 0)
        if number < 1:
            continue
        if connection.dialect.name == "sqlite":
            _number_sqlite(connection, table.name, number)
        elif (sequence := _sequence(connection, table)) is not None:
            connection.execute(select(func.setval(sequence, number)))


def _number_sqlite(connection: Connection, name: str, number: int) -> None:
    values = {"name": name, "number": number}
    changed = connection.execute(
        text("UPDATE sqlite_sequence SET seq = :number WHERE name = :name"), values
    )
    if not changed.rowcount:
        ask = text("SELECT sql FROM sqlite_master WHERE name = :name")
        if "AUTOINCREMENT" in str(connection.scalar(ask, {"name": name})).upper():
            connection.execute(
                text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :number)"), values
            )


def _sequence(connection: Connection, table: Table) -> str | None:
    if "id" not in table.c or table.c.id.type.python_type is not int:
        return None
    found: str | None = connection.scalar(
        select(func.pg_get_serial_sequence(f'"{table.name}"', "id"))
    )
    return found


def use_up_codes(connection: Connection, now_ms: int, known: Sequence[Table]) -> None:
    """Void every code that may have been used since the backup was made.

    Codes are shown early on a clock that is ahead; and a new secret's first code may be one of a
    step a little before the old secret's last (`users.move_to_next`), so that needs a later one.
    """
    by_name = {table.name: table for table in known}
    users, states = by_name["users"], by_name.get("login_states")
    ahead = {}
    if states is not None:
        ahead = {row.user_id: max(0, row.drift_ms) for row in connection.execute(select(states))}
    for user in connection.execute(select(users)).all():
        step = (now_ms + ahead.get(user.id, 0)) // (1000 * user.otp_period)
        if getattr(user, "next_secret", None) is not None:
            step += APART + 1
        if user.last_step < step:
            connection.execute(update(users).where(users.c.id == user.id).values(last_step=step))
