"""What the client keeps of other people's keys: the key log as read, and the pins.

    log   every entry of the key log, by its index
    head  the newest head, as the log's key signed it
    pins  for each person whose keys were used here: which, and whether they were compared
    shown for each person the keys whose words were shown last, to be compared

One SQLite file a profile, so that several commands at once agree.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fsproto.errors import FsError, IntegrityError, OutOfSpaceError
from fsproto.keys.portable import KnownPeople, Pinned
from fsproto.sealed.signed import Signed
from fsproto.types import Hash

_BUSY_S = 30.0
_NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (at INTEGER PRIMARY KEY, entry BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS head (
    only INTEGER PRIMARY KEY CHECK (only = 1), payload BLOB NOT NULL, signature BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS pins (
    user TEXT PRIMARY KEY, bundle BLOB NOT NULL, ed25519 BLOB NOT NULL, compared INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS shown (user TEXT PRIMARY KEY, bundle BLOB NOT NULL);
"""


@dataclass(frozen=True)
class Pin:
    """The keys of a person that were used here."""

    user: str
    bundle: Hash
    ed25519: bytes
    compared: bool
    """Whether somebody compared them with the person's own."""


class TrustStore:
    """The file; `IntegrityError` wherever it turns out to be damaged."""

    def __init__(self, path: Path) -> None:
        """Open, or begin, a store."""
        self._path = path
        with self._translated():
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
        if path.exists():
            path.chmod(0o600)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def head(self) -> Signed | None:
        """Return the newest head."""
        with self._translated():
            row = self._db.execute("SELECT payload, signature FROM head").fetchone()
        return Signed(*row) if row else None

    def entries(self, first: int = 0) -> list[bytes]:
        """Return the entries that were read, from number `first` on."""
        with self._translated():
            rows = self._db.execute("SELECT entry FROM log WHERE at >= ? ORDER BY at", (first,))
            return [entry for (entry,) in rows]

    def keep(self, first: int, entries: Sequence[bytes], head: Signed) -> None:
        """Keep further entries and the head that stands for all of them."""
        rows = [(first + at, entry) for at, entry in enumerate(entries)]
        with self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany("INSERT OR REPLACE INTO log VALUES (?, ?)", rows)
                self._db.execute(
                    "INSERT OR REPLACE INTO head VALUES (1, ?, ?)", (head.payload, head.signature)
                )
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def everything(self) -> KnownPeople:
        """Return all that is known, for another machine."""
        pins = [Pinned(one.user, one.bundle, one.ed25519, one.compared) for one in self.pins()]
        return KnownPeople(self.head(), self.entries(), pins)

    def take_over(self, known: KnownPeople) -> None:
        """Begin with what another machine has known."""
        if known.head is not None:
            self.keep(0, known.entries, known.head)
        for pin in known.pins:
            self.set_pin(Pin(pin.user, Hash(pin.bundle), pin.ed25519, pin.compared))

    def pin(self, user: str) -> Pin | None:
        """Return the pin of a person."""
        with self._translated():
            row = self._db.execute(
                "SELECT user, bundle, ed25519, compared FROM pins WHERE user = ?", (user,)
            ).fetchone()
        return Pin(row[0], Hash(row[1]), row[2], bool(row[3])) if row else None

    def pins(self) -> list[Pin]:
        """Return all pins by name."""
        with self._translated():
            rows = self._db.execute(
                "SELECT user, bundle, ed25519, compared FROM pins ORDER BY user"
            )
            return [Pin(row[0], Hash(row[1]), row[2], bool(row[3])) for row in rows]

    def set_pin(self, pin: Pin) -> None:
        """Pin a person's keys, in place of what was pinned before."""
        with self._translated():
            self._db.execute(
                "INSERT OR REPLACE INTO pins VALUES (?, ?, ?, ?)",
                (pin.user, pin.bundle, pin.ed25519, pin.compared),
            )

    def shown(self, user: str) -> Hash | None:
        """Return the hash of the bundle whose words were shown last."""
        with self._translated():
            row = self._db.execute("SELECT bundle FROM shown WHERE user = ?", (user,)).fetchone()
        return Hash(row[0]) if row else None

    def set_shown(self, user: str, bundle: Hash) -> None:
        """Note whose words are shown."""
        with self._translated():
            self._db.execute("INSERT OR REPLACE INTO shown VALUES (?, ?)", (user, bundle))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorname", "") in _NO_ROOM:
                raise OutOfSpaceError(f"There is no space left for '{self._path}'.") from None
            if isinstance(error, sqlite3.OperationalError):
                raise FsError(f"The local '{self._path}' cannot be used: {error}.") from None
            raise _damaged(self._path) from None


def _damaged(path: Path) -> IntegrityError:
    return IntegrityError(
        f"'{path}', which remembers other people's keys, is damaged.",
        hint="Put it back from a copy. Deleting it means to compare everybody's keys again.",
    )
