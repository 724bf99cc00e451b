"""Places of new blobs: random names that the database has before the first byte is written.

A server takes places in stock: their rows say that they are deleted in a day. An upload that stores
its blob claims its place in the same transaction. So whatever is interrupted, the garbage
collection finds it in the database, and a start of a server need not look for it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from fsd.store.repos import uploads as rows

if TYPE_CHECKING:
    from fsd.store.engine import Database

STOCK = 32
UNCLAIMED_MS = 24 * 3600 * 1000
"""After this time a place that no upload has claimed is deleted."""
_RENEW_MS = UNCLAIMED_MS // 2


class Places:
    """The places of one server that are in stock or in use; calls block."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        """Take the database, and the clock."""
        self._database = database
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._stock: list[str] = []
        self._stock_until_ms = 0
        self._given_up: list[str] = []
        self._used: dict[str, int] = {}
        """Places in use, with the time until which their rows need no change."""

    def take(self) -> str:
        """Return a place for a new blob; it is in use until `done`."""
        now = self._now_ms()
        with self._lock:
            if not self._stock or self._stock_until_ms <= now:
                places = [_random() for _ in range(STOCK)]
                with self._database.write() as db:
                    rows.doom(db, places, now + UNCLAIMED_MS)
                self._stock, self._stock_until_ms = places, now + _RENEW_MS
            place = self._stock.pop()
            self._used[place] = self._stock_until_ms
        return place

    def done(self, place: str) -> None:
        """Note that a place was claimed or given up; harmless if it was before."""
        with self._lock:
            self._used.pop(place, None)

    def give_up(self, place: str, *, was_written: bool) -> None:
        """Give up a place; it is used again only if nothing was written there.

        So a client that starts many uploads and aborts them makes few rows.
        """
        with self._lock:
            if self._used.pop(place, None) is not None:
                (self._given_up if was_written else self._stock).append(place)

    def renew(self) -> None:
        """Postpone the deletion of places in use, and have those that were given up deleted soon.

        Call it about every minute.
        """
        now = self._now_ms()
        with self._lock:
            old = [place for place, until in self._used.items() if until <= now + _RENEW_MS // 2]
            given_up, self._given_up = self._given_up, []
        if not old and not given_up:
            return
        with self._database.write() as db:
            rows.set_due(db, old, now + UNCLAIMED_MS)
            rows.set_due(db, given_up, now)
        with self._lock:
            for place in self._used.keys() & set(old):
                self._used[place] = now + _RENEW_MS


def _random() -> str:
    name = os.urandom(16).hex()
    return f"{name[:2]}/{name}"
