"""Queries on many values, split into parts that every database accepts.

Statements that run for every commit are built once, with `SOME` in place of the values: SQLAlchemy
needs more time to build one than to run it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import BindParameter, ClauseElement, Dialect, Executable, bindparam
from sqlalchemy.orm import Session as Db

T = TypeVar("T")

_HELPING = 500
SOME: BindParameter[bytes] = bindparam("some", expanding=True)


def helpings(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Split values into parts that fit into one IN clause."""
    return (values[at : at + _HELPING] for at in range(0, len(values), _HELPING))


def of_some(
    db: Db, statement: Executable, values: Iterable[bytes], **more: object
) -> Iterator[Any]:
    """Yield the rows of a statement that contains `SOME`; `more` are its other parameters."""
    connection = db.connection()
    for some in helpings(list(values)):
        yield from connection.execute(statement, {"some": some} | more)


def for_each(db: Db, statement: ClauseElement, rows: Sequence[dict[str, Any]]) -> None:
    """Run a statement once for each row; all rows have the same names.

    The values go to the driver unchanged. SQLAlchemy would process each value. No column here needs
    that, and it would take half the time of storing them.
    """
    if not rows:
        return
    connection = db.connection()
    text, order = _compiled(statement, connection.dialect, tuple(rows[0]))
    if order is None:
        connection.exec_driver_sql(text, list(rows))
    else:
        connection.exec_driver_sql(text, [tuple(row[name] for name in order) for row in rows])


@lru_cache(maxsize=64)
def _compiled(
    statement: ClauseElement, dialect: Dialect, names: tuple[str, ...]
) -> tuple[str, tuple[str, ...] | None]:
    """Return a statement's text and the order of its values; None if the driver takes names."""
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    order = getattr(compiled, "positiontup", None)
    return str(compiled), None if order is None else tuple(order)
