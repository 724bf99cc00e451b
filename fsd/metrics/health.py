"""Whether a server is healthy: its database answers, and it is not stopping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from sqlalchemy import text

from fsd.store.engine import Database
from fsproto.errors import FsError

WITHIN_S = 3.0
"""Seconds for the database to answer."""
FRESH_S = 0.2
"""Seconds for which an answer counts, so that many checks cost as much as one."""
_STOPPING = "The server is stopping."
_SILENT = "The database does not answer."


class Health:
    """The health of one server; all calls are on the event loop."""

    def __init__(self, database: Database, stopping: Callable[[], bool]) -> None:
        """Take the database, and a function that reports a stopping server."""
        self._database = database
        self._stopping = stopping
        self._asking: asyncio.Task[str | None] | None = None
        self._answered_at: float | None = None

    async def wrong(self) -> str | None:
        """Return what is wrong with the server, or None."""
        if self._stopping():
            return _STOPPING
        asking = self._asking
        is_old = self._answered_at is None or time.monotonic() - self._answered_at > FRESH_S
        if asking is None or (asking.done() and is_old):
            asking = self._asking = asyncio.create_task(self._ask())
        try:
            async with asyncio.timeout(WITHIN_S):
                return await asyncio.shield(asking)
        except TimeoutError:
            return _SILENT

    async def _ask(self) -> str | None:
        try:
            return await asyncio.to_thread(_answer, self._database)
        finally:
            self._answered_at = time.monotonic()


def _answer(database: Database) -> str | None:
    try:
        with database.read() as db:
            db.execute(text("SELECT 1"))
    except FsError as error:
        return error.sentence
    return None
