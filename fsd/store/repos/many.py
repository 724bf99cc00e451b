"""Statements that run often: on few values, and on many, in parts that every database accepts.

Such a statement is built once, with `SOME` in place of many values. Its text is made once as well:
SQLAlchemy needs more time to prepare a statement than the database needs to run it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn, TypeVar

from sqlalchemy import (
    BindParameter,
    ClauseElement,
    Connection,
    Dialect,
    Select,
    bindparam,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session as Db
from sqlalchemy.sql.compiler import SQLCompiler

T = TypeVar("T")

_HELPING = 500
_CONNECTION = "connection of many"
SOME: BindParameter[bytes] = bindparam("some", expanding=True)


def helpings(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Split values into parts that fit into one IN clause."""
    return (values[at : at + _HELPING] for at in range(0, len(values), _HELPING))


def run(db: Db, statement: ClauseElement, **values: object) -> list[tuple[Any, ...]]:
    """Run a query that was built once; return its rows.

    The driver takes the values and returns the columns unchanged: SQLAlchemy would process each.
    `TypeError` if one of them needs that. Errors are those of SQLAlchemy.
    """
    return list(_rows(db, statement, (), values))


def stream(db: Db, statement: ClauseElement, **values: object) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query as `run` does, but without all of them in memory on SQLite."""
    return _rows(db, statement, (), values)


def scalar(db: Db, statement: ClauseElement, **values: object) -> Any:  # noqa: ANN401 - a column
    """Run a query as `run` does; return the first column of its first row, None without rows."""
    found = run(db, statement, **values)
    return found[0][0] if found else None


def change(db: Db, statement: ClauseElement, **values: object) -> int:
    """Run a change that was built once; return the number of changed rows."""
    connection = _connection(db)
    text, given = _given(connection, statement, (), values)
    with _cursor(connection, text) as cursor:
        cursor.execute(text, given)
        return int(cursor.rowcount)


def of_some(
    db: Db, statement: ClauseElement, values: Iterable[object], **more: object
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query that contains `SOME`; `more` are its other parameters.

    The database gets the last value several times, so that there are few different texts.
    """
    for some in helpings(list(values)):
        count = 1 << (len(some) - 1).bit_length()
        yield from _rows(db, statement, [*some, *[some[-1]] * (count - len(some))], more)


def for_each(db: Db, statement: ClauseElement, rows: Sequence[dict[str, Any]]) -> None:
    """Run a change once for each row; all rows have the same names.

    The values go to the driver unchanged, as those of `run`.
    """
    if not rows:
        return
    connection = _connection(db)
    text, order = _compiled(statement, connection.dialect, tuple(rows[0]))
    with _cursor(connection, text) as cursor:
        if order is None:
            cursor.executemany(text, rows)
        else:
            cursor.executemany(text, [tuple(row[name] for name in order) for row in rows])


def _rows(
    db: Db, statement: ClauseElement, some: Sequence[object], values: dict[str, object]
) -> Iterator[tuple[Any, ...]]:
    connection = _connection(db)
    text, given = _given(connection, statement, some, values)
    with _cursor(connection, text) as cursor:
        cursor.execute(text, given)
        yield from cursor


def _connection(db: Db) -> Connection:
    """Return the connection of the session's transaction.

    The session's own lookup takes longer than many a statement. A connection is closed at the end
    of its transaction, so one that is open belongs to the present transaction.
    """
    known: Connection | None = db.info.get(_CONNECTION)
    if known is None or known.closed:
        known = db.info[_CONNECTION] = db.connection()
    return known


def _given(
    connection: Connection,
    statement: ClauseElement,
    some: Sequence[object],
    values: dict[str, object],
) -> tuple[str, Any]:
    """Return the text of a statement and its values as the driver takes them."""
    ready = _ready(statement, connection.dialect, len(some))
    values = ready.fixed | values
    if some:
        values.update(zip(ready.some, some, strict=True))
    if ready.order is None:
        return ready.text, values
    return ready.text, [values[name] for name in ready.order]


class _cursor:  # noqa: N801 - used as a function; a generator takes longer than a short statement
    """A cursor of the driver, whose errors are translated as SQLAlchemy does.

    SQLAlchemy's own way to run a text takes several times as long as a short statement itself.
    """

    __slots__ = ("_connection", "_cursor", "_pooled", "_text")

    def __init__(self, connection: Connection, text: str) -> None:
        self._connection = connection
        self._text = text
        self._pooled = connection.connection
        self._cursor: Any = None

    def __enter__(self) -> Any:  # noqa: ANN401 - the driver's own
        try:
            self._cursor = self._pooled.cursor()
        except self._connection.dialect.loaded_dbapi.Error as error:
            self._fail(error)
        return self._cursor

    def __exit__(self, kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            if error is not None and isinstance(error, self._connection.dialect.loaded_dbapi.Error):
                self._fail(error)
        finally:
            if self._cursor is not None and not self._connection.invalidated:
                self._cursor.close()

    def _fail(self, error: Any) -> NoReturn:  # noqa: ANN401 - the driver's own
        connection, dialect = self._connection, self._connection.dialect
        is_lost = dialect.is_disconnect(error, self._pooled.dbapi_connection, self._cursor)
        if is_lost:
            connection.invalidate(error)
            connection.engine.dispose()  # its other connections are lost as well
        raise DBAPIError.instance(
            self._text,
            None,
            error,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=is_lost,
            dialect=dialect,
        ) from error


class _Ready(NamedTuple):
    """A statement as the driver takes it."""

    text: str
    order: tuple[str, ...] | None
    """The order of its values; None if the driver takes names."""
    some: tuple[str, ...]
    """The names of the values for `SOME`."""
    fixed: dict[str, object]
    """The values that are part of the statement."""


@lru_cache(maxsize=512)
def _ready(statement: ClauseElement, dialect: Dialect, count: int) -> _Ready:
    """Prepare a statement with this number of values for `SOME`."""
    compiled = statement.compile(dialect=dialect)
    if not isinstance(compiled, SQLCompiler):
        raise TypeError("not a statement")
    open_names = {one.key for one in compiled.bind_names if one.required or one.expanding}
    blank: dict[str, Any] = dict.fromkeys(open_names - {"some"}, b"")
    made = compiled.construct_expanded_state(blank | ({"some": [b""] * count} if count else {}))
    columns = statement.selected_columns if isinstance(statement, Select) else ()
    if made.processors or any(
        column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns
    ):
        raise TypeError("Values of that statement must be processed by SQLAlchemy.")
    some = tuple(f"some_{number + 1}" for number in range(count))
    order = made.positiontup
    fixed = {n: v for n, v in made.parameters.items() if n not in some and n not in open_names}
    return _Ready(made.statement, None if order is None else tuple(order), some, fixed)


@lru_cache(maxsize=64)
def _compiled(
    statement: ClauseElement, dialect: Dialect, names: tuple[str, ...]
) -> tuple[str, tuple[str, ...] | None]:
    """Return a statement's text and the order of its values; None if the driver takes names."""
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    order = getattr(compiled, "positiontup", None)
    return str(compiled), None if order is None else tuple(order)
