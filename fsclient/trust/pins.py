"""What the client keeps of other people's keys: the key log as read, and the pins.

    log   every entry of the key log, by its index
    head  the newest head, as the log's key signed it
    pins  for each person whose keys were used here: which, and whether they were compared
    shown for each person the keys whose safety number was shown last, to be compared
    told  for each kind of notice from the server the last that was shown

One SQLite file a profile, so that several commands at once agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsclient.trust.sqlite import LocalDatabase
from fsproto.signed import Signed
from fsproto.types import Hash
from fsproto.values import Value

if TYPE_CHECKING:
    from fsproto.keys.portable import KnownPeople

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (at INTEGER PRIMARY KEY, entry BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS head (
    only INTEGER PRIMARY KEY CHECK (only = 1), payload BLOB NOT NULL, signature BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS pins (
    user TEXT PRIMARY KEY, bundle BLOB NOT NULL, ed25519 BLOB NOT NULL, compared INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS shown (user TEXT PRIMARY KEY, bundle BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS told (kind TEXT PRIMARY KEY, at_ms INTEGER NOT NULL);
"""


class Pin(Value, frozen=True):
    """The keys of a person that were used here."""

    user: str
    bundle: Hash
    ed25519: bytes
    compared: bool
    """Whether the user has compared them, or keys that they replaced, with the person."""
    replaced_since: bool = False
    """Whether the keys that were compared have been replaced since."""

    @property
    def mark(self) -> int:
        """0: not compared, 1: compared, 2: compared and replaced since."""
        return 2 if self.compared and self.replaced_since else int(self.compared)


class PinStore(LocalDatabase):
    """The file; `IntegrityError` wherever it turns out to be damaged."""

    schema = _SCHEMA
    holds = "which remembers other people's keys"
    without_it = "Deleting it means to compare everybody's keys again."

    def head(self) -> Signed | None:
        """Return the newest head."""
        with self._translated():
            row = self._db.execute("SELECT payload, signature FROM head").fetchone()
        return Signed(*row) if row else None

    def log(self) -> tuple[list[bytes], Signed | None]:
        """Return every entry that was read, and the head for them, as they are at one moment."""
        with self._translated(), self._transaction("DEFERRED"):
            rows = self._db.execute("SELECT entry FROM log ORDER BY at").fetchall()
            return [entry for (entry,) in rows], self.head()

    def keep(self, first: int, entries: Sequence[bytes], head: Signed) -> None:
        """Keep entries from number `first` on, and the head for all up to them.

        If another command has read further in the meantime, its head stays.
        """
        rows = [(first + at, entry) for at, entry in enumerate(entries)]
        with self._translated(), self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO log VALUES (?, ?)", rows)
            kept = self._db.execute("SELECT count(*) FROM log").fetchone()[0]
            if kept == first + len(rows):
                self._db.execute(
                    "INSERT OR REPLACE INTO head VALUES (1, ?, ?)", (head.payload, head.signature)
                )

    def forget_log(self) -> None:
        """Forget the log and its head; the pins stay."""
        with self._translated(), self._transaction():
            self._db.execute("DELETE FROM log")
            self._db.execute("DELETE FROM head")

    def everything(self) -> KnownPeople:
        """Return all that is known, for another machine."""
        from fsproto.keys.portable import KnownPeople, Pinned

        pins = [Pinned(one.user, one.bundle, one.ed25519, one.compared) for one in self.pins()]
        entries, head = self.log()
        return KnownPeople(head, entries, pins)

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
        return _pin(row) if row else None

    def pins(self) -> list[Pin]:
        """Return all pins by name."""
        with self._translated():
            rows = self._db.execute(
                "SELECT user, bundle, ed25519, compared FROM pins ORDER BY user"
            )
            return [_pin(row) for row in rows]

    def set_pin(self, pin: Pin) -> None:
        """Pin a person's keys, in place of what was pinned before."""
        with self._translated():
            self._db.execute(
                "INSERT OR REPLACE INTO pins VALUES (?, ?, ?, ?)",
                (pin.user, pin.bundle, pin.ed25519, pin.mark),
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

    def note_told(self, kind: str, at_ms: int) -> bool:
        """Note that a notice of the server is shown; False if it was shown here before.

        The server sends a notice to each session, and the next session of this profile may be
        another one.
        """
        with self._translated(), self._transaction():
            known = self._db.execute("SELECT at_ms FROM told WHERE kind = ?", (kind,)).fetchone()
            if known is not None and known[0] >= at_ms:
                return False
            self._db.execute("INSERT OR REPLACE INTO told VALUES (?, ?)", (kind, at_ms))
        return True


def _pin(row: tuple[str, bytes, bytes, int]) -> Pin:
    user, bundle, ed25519, mark = row
    return Pin(user, Hash(bundle), ed25519, mark > 0, mark > 1)
