"""The SQLite files of a profile: opened alike, and whatever is wrong with one told in one way."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fsclient.profile_errors import find_error, profile_errors, without_locks
from fskit.os_errors import NO_LOCKS
from fskit.sqlite import use_wal
from fsproto.errors import ConflictError, FsError, IntegrityError, OutOfSpaceError

_BUSY_S = 30.0
_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")
_LOCKS = ("SQLITE_IOERR_LOCK", "SQLITE_IOERR_RDLOCK", "SQLITE_IOERR_SHM", "SQLITE_PROTOCOL")
"""Where locks, or the memory that processes share in WAL mode, fail."""
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
        if path is not None:
            with profile_errors(path):
                path.chmod(0o600)

    @property
    def kept(self) -> bool:
        """Whether there is a file; without one, everything is lost at the end."""
        return self._path is not None

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
            if found > self.format:
                raise FsError(
                    f"'{self._path}' was written by a newer version of fsclient.",
                    hint="Update fsclient on this machine.",
                )
            if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise FsError(
                    f"'{self._path}' is of an older version of fsclient.",
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
            hint=f"Restore it from a copy. {self.without_it}",
        )

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        """Do all of it or nothing; a `DEFERRED` one, for looking only, sees one moment."""
        self._db.execute(f"BEGIN {kind}")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # SQLite ends it itself, on a full disk say
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # a mistake of this program, such as a query after the end of the session
        except OSError as error:
            if self._path is None or error.errno not in NO_LOCKS:
                raise
            raise without_locks(self._path) from None
        except sqlite3.DatabaseError as error:
            raise self._error(error) from None

    def _error(self, error: sqlite3.DatabaseError) -> FsError:
        """Return the error of ours for one of SQLite."""
        name = getattr(error, "sqlite_errorname", "")
        if not isinstance(error, sqlite3.OperationalError):
            return self.damaged
        # A lock that the system refuses counts as busy for SQLite, so the reason comes first.
        found = find_error(self._path) if self._path is not None else None
        if found is not None:
            return found
        if name.startswith(_BUSY):
            return ConflictError(
                f"Another command has been using '{self._path}' for {_BUSY_S:.0f} s.",
                hint="Wait for its end, and give this command again.",
            )
        if name in _NO_ROOM:
            return OutOfSpaceError(
                f"There is no space left for '{self._path}'.",
                hint="Free some space there, then try again.",
            )
        if name.startswith(_LOCKS) and self._path is not None:
            return without_locks(self._path)
        return FsError(f"The local '{self._path}' cannot be used: {error} ({name or 'no code'}).")


def is_empty(path: Path) -> bool:
    """Return whether a file is missing or has lost all its content, so that it starts again."""
    with profile_errors(path):
        return not path.exists() or not path.stat().st_size
