"""Answers that arrive before the caller reads them: few in memory, the rest on disk.

A question about trust may come up while answers to earlier requests are still under way, for
example the listings of several folders. The server answers in order, so these answers arrive first
and wait here. The server chooses their size.
"""

from __future__ import annotations

import sqlite3

from fsclient.spill import spill_errors, temporary_database
from fsproto.errors import RemoteProtocolError
from fsproto.wire.connection import Control, Data, packed_event, parsed_event

_MOST_BYTES = 1 << 30
_MOST_EVENTS = 1 << 16
_SCHEMA = (
    "CREATE TABLE parked (at INTEGER PRIMARY KEY, request INTEGER NOT NULL, event BLOB NOT NULL);"
    "CREATE INDEX parked_of ON parked (request, at)"
)
_NEXT = "SELECT at, event FROM parked WHERE request = ? ORDER BY at LIMIT 1"


class ParkedAnswers:
    """The answers of one connection that wait for their readers, in order for each request."""

    def __init__(self, most_bytes: int = _MOST_BYTES, most_events: int = _MOST_EVENTS) -> None:
        """`most_bytes` and `most_events` wait at once."""
        self._most_bytes, self._most_events = most_bytes, most_events
        self._db: sqlite3.Connection | None = None
        self._counts: dict[int, int] = {}
        """How many events wait for each request that has any."""
        self._bytes = 0

    def __contains__(self, request: int) -> bool:
        return request in self._counts

    def add(self, event: Control | Data) -> None:
        """Store an event; `RemoteProtocolError` if more wait than a client asks for."""
        packed, request = packed_event(event), number_of(event)
        self._bytes += len(packed)
        if self._bytes > self._most_bytes or sum(self._counts.values()) >= self._most_events:
            raise RemoteProtocolError("The server sent more than was asked for.")
        if self._db is None:
            self._db = temporary_database(_SCHEMA)
        with spill_errors():
            self._db.execute("INSERT INTO parked (request, event) VALUES (?, ?)", (request, packed))
        self._counts[request] = self._counts.get(request, 0) + 1

    def take(self, request: int) -> Control | Data:
        """Return the oldest event of a request that has one."""
        if self._db is None:
            raise KeyError(request)
        with spill_errors():
            at, packed = self._db.execute(_NEXT, (request,)).fetchone()
            self._db.execute("DELETE FROM parked WHERE at = ?", (at,))
        self._bytes -= len(packed)
        self._counts[request] -= 1
        if not self._counts[request]:
            del self._counts[request]
        return parsed_event(memoryview(packed))

    def close(self) -> None:
        """Forget everything."""
        if self._db is not None:
            self._db.close()
            self._db = None
        self._counts.clear()
        self._bytes = 0


def number_of(event: Control | Data) -> int:
    """Return the number of the request that an event answers."""
    return event.request if isinstance(event, Control) else event.stream
