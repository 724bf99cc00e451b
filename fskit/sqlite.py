"""SQLite files that several processes use at once."""

from __future__ import annotations

import sqlite3
import time

_LOOK_AGAIN_S = 0.005


def use_wal(connection: sqlite3.Connection, within_s: float) -> None:
    """Switch to write-ahead logging; retry for a time, because SQLite waits for no other process.

    `sqlite3.OperationalError` after that time, and for any other failure.
    """
    until = time.monotonic() + within_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > until:
                raise
            time.sleep(_LOOK_AGAIN_S)
        else:
            return
