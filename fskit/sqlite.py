"""SQLite files that several processes use at once."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from fskit.os_errors import NO_LOCKS

_LOOK_AGAIN_S = 0.005


def use_wal(connection: sqlite3.Connection, within_s: float) -> None:
    """Switch to write-ahead logging; retry for a time, because SQLite waits for no other process.

    Later statements wait as long. `sqlite3.OperationalError` after that time, and for any other
    failure; an `OSError` of `NO_LOCKS` at once if no file can be locked there, which SQLite cannot
    tell from a lock of another process.
    """
    connection.execute("PRAGMA busy_timeout=0")
    until, was_busy = time.monotonic() + within_s, False
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            # There are kinds of it, such as SQLITE_BUSY_RECOVERY.
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > until:
                raise
            if not was_busy:
                _check_locks(connection)
            was_busy = True
            time.sleep(_LOOK_AGAIN_S)
        else:
            break
    connection.execute(f"PRAGMA busy_timeout={int(within_s * 1000)}")


def _check_locks(connection: sqlite3.Connection) -> None:
    if os.name == "nt":
        return
    import fcntl
    import tempfile  # only where a database is busy

    _, _, path = connection.execute("PRAGMA database_list").fetchone()
    try:
        with tempfile.TemporaryFile(dir=Path(path).parent) as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise
