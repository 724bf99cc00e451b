"""Temporary SQLite databases for what a server sends: little in memory, the rest on disk.

SQLite keeps a few MiB of such a database in memory, and writes the rest to a file without a name in
the system's folder for temporary files. The content is as the server sent it: sealed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from fsproto.errors import OutOfSpaceError

_CACHE_KIB = 4 * 1024


@contextmanager
def spill_errors() -> Iterator[None]:
    """Raise `OutOfSpaceError` if a temporary database cannot be written in the block."""
    try:
        yield
    except sqlite3.Error as error:
        raise OutOfSpaceError(
            f"A large answer of the server cannot be kept in a temporary file: {error}.",
            hint="Free some space, or set TMPDIR to a folder with more.",
        ) from None


def temporary_database(schema: str) -> sqlite3.Connection:
    """Return a new database with the tables of `schema`; it is gone when it is closed."""
    with spill_errors():
        db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        db.executescript(
            f"PRAGMA journal_mode = OFF; PRAGMA temp_store = FILE; "
            f"PRAGMA cache_size = -{_CACHE_KIB}; {schema}; BEGIN"
        )
    return db
