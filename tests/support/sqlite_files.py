"""A SQLite file of a server or a client, opened beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_WITHIN_S = 20.0


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open one; what was done is kept if all went well, and the file is closed either way.

    A connection that is left to be collected ends at any time later, and its end takes away the
    journal (`-wal`) that lies at the path by then: whoever has it open meets an I/O error.
    """
    with closing(sqlite3.connect(path, timeout=_WITHIN_S)) as db, db:
        yield db
