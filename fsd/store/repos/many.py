"""Many values in one query, in helpings that every database takes.

Statements that run for every commit are made once, with `SOME` in the place of the values: making
one takes SQLAlchemy longer than running it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import BindParameter, Executable, Row, bindparam
from sqlalchemy.orm import Session as Db

_HELPING = 500
SOME: BindParameter[bytes] = bindparam("some", expanding=True)


def helpings(values: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Cut values into parts that fit into one IN clause."""
    return (values[at : at + _HELPING] for at in range(0, len(values), _HELPING))


def of_some(db: Db, statement: Executable, values: Iterable[bytes]) -> Iterator[Row[Any]]:
    """Give the rows of a statement that has `SOME` in it."""
    connection = db.connection()
    for some in helpings(list(values)):
        yield from connection.execute(statement, {"some": some})


def for_each(db: Db, statement: Executable, rows: Sequence[dict[str, object]]) -> None:
    """Run a statement once for each row of values."""
    if rows:
        db.connection().execute(statement, rows)
