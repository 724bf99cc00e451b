"""The statements that SQLite runs, as the driver reports them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event

from fsd.store.engine import Database


@contextmanager
def statements_of(database: Database) -> Iterator[list[str]]:
    """Collect the statements of transactions that start in the block, with their values."""
    texts: list[str] = []
    traced: list[Any] = []

    def begin(connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.set_trace_callback(texts.append)
        traced.append(driver)

    event.listen(database.engine, "begin", begin)
    try:
        yield texts
    finally:
        event.remove(database.engine, "begin", begin)
        for driver in traced:
            driver.set_trace_callback(None)
