"""The SQLite files of a profile: opened alike, and whatever is wrong with one told in one way."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fskit.sqlite import use_wal
from fsproto.errors import FsError, IntegrityError, OutOfSpaceError

_BUSY_S = 30.0
_NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
"""On a full disk; the second is where WAL mode notices it first."""


class LocalDatabase:
    """One file that several commands of the same person may use at once."""

    schema = ""
    """Makes the tables where there are none yet."""
    holds = ""
    """A relative clause for errors that says what the file holds: `which remembers …`."""
    format = 1
    """Number of this schema; kept in the file as SQLite's `user_version`."""
    without_it = ""
    """A sentence for errors: what is lost if the file is deleted."""

    def __init__(self, path: Path | None) -> None:
        """Open or create a file; None: in memory alone. `IntegrityError` if it is damaged."""
        self._path = path
        with self._translated():
            self._db = sqlite3.connect(path or ":memory:", timeout=_BUSY_S, isolation_level=None)
            use_wal(self._db, _BUSY_S)
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._make_tables()
        if path is not None and path.exists():
            path.chmod(0o600)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _make_tables(self) -> None:
        if self._format() == self.format:
            return
        with self._transaction():  # another command may be making them now
            found = self._format()
            if found == self.format:
                return
            if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise FsError(
                    f"'{self._path}' is of another version of fsclient.",
                    hint="Profiles of protocol 1 cannot be used with this version: ask your "
                    "administrator for a new link and enrol again.",
                )
            for statement in filter(str.strip, self.schema.split(";")):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {self.format}")

    def _format(self) -> int:
        found: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        return found

    @property
    def damaged(self) -> IntegrityError:
        """The error for a file that does not hold what was written to it."""
        return IntegrityError(
            f"'{self._path}', {self.holds}, is damaged.",
            hint=f"Put it back from a copy. {self.without_it}",
        )

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        """Do all of it or nothing; a `DEFERRED` one, for looking only, sees one moment."""
        self._db.execute(f"BEGIN {kind}")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # a mistake of this program, such as a query after the end of the session
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorname", "") in _NO_ROOM:
                raise OutOfSpaceError(f"There is no space left for '{self._path}'.") from None
            if isinstance(error, sqlite3.OperationalError):
                why = f"{error} ({getattr(error, 'sqlite_errorname', 'no code')})"
                raise FsError(f"The local '{self._path}' cannot be used: {why}.") from None
            raise self.damaged from None
