"""Direct access to a SQLite file of a server or a client."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_WITHIN_S = 20.0


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file; commit on success, and close it in any case.

    If the garbage collector closes a connection, it does so at an arbitrary later time. The close
    deletes the journal (`-wal`) that is at the path by then, and all other connections get an I/O
    error.
    """
    with closing(sqlite3.connect(path, timeout=_WITHIN_S)) as db, db:
        yield db
