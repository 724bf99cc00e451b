"""What the client keeps of other people's keys: the key log as verified, and the pins.

    log   every entry of the key log, by its index, with the root over the entries up to it
    head  the newest head, as the log's key signed it, and the frontier of its entries
    pins  for each person whose keys were used here: which, and whether they were compared
    shown for each person the keys whose safety number was shown last, to be compared
    told  for each kind of notice from the server the last that was shown
    memory how far the memory of seen versions had come at the end of the last session

One SQLite file a profile, so that several commands at once agree. What is read of the log is put
into a table of this process's own (`unproved`, in a temporary file) until a signed head proves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from fsclient.trust.sqlite import LocalDatabase
from fsproto import crypto
from fsproto.errors import IntegrityError, RollbackError, SecurityError
from fsproto.keylog.entries import KeyEvent, KeyLogEntry, read_entry
from fsproto.keylog.head import KeyLogHead
from fsproto.keylog.log import KeyLog
from fsproto.packing import unpack
from fsproto.proofs.merkle import Frontier
from fsproto.signed import Signed
from fsproto.types import Hash
from fsproto.values import Value

if TYPE_CHECKING:
    from fsproto.keys.portable import KnownPeople

_LOG = """
    at INTEGER PRIMARY KEY, user TEXT NOT NULL, ends INTEGER NOT NULL, entry BLOB NOT NULL,
    root BLOB NOT NULL, checksum BLOB NOT NULL
"""
"""Columns of the log; `ends`: whether the entry ended a person's keys."""
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS log ({_LOG});
CREATE INDEX IF NOT EXISTS log_by_user ON log (user, at);
CREATE INDEX IF NOT EXISTS log_of_ends ON log (at) WHERE ends;
CREATE TABLE IF NOT EXISTS head (
    only INTEGER PRIMARY KEY CHECK (only = 1), payload BLOB NOT NULL, signature BLOB NOT NULL,
    frontier BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS pins (
    user TEXT PRIMARY KEY, bundle BLOB NOT NULL, ed25519 BLOB NOT NULL, compared INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS shown (user TEXT PRIMARY KEY, bundle BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS told (kind TEXT PRIMARY KEY, at_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS renewed (
    only INTEGER PRIMARY KEY CHECK (only = 1), entries INTEGER NOT NULL
);
"""
_MEMORY = """
CREATE TABLE IF NOT EXISTS memory (
    only INTEGER PRIMARY KEY CHECK (only = 1), at INTEGER NOT NULL
)
"""
"""Not in the schema: files that were made before this table existed get it when they are opened."""

_LogRow = tuple[int, str, bytes, bytes, bytes]
_ROOT = "SELECT root FROM main.log WHERE at = ?"


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
    format = 1
    holds = "which remembers other people's keys"
    without_it = "Deleting it means to compare everybody's keys again."

    def _make_tables(self) -> None:
        super()._make_tables()
        self._db.execute(_MEMORY)

    def head(self) -> Signed | None:
        """Return the newest head."""
        with self._translated():
            row = self._db.execute("SELECT payload, signature FROM head").fetchone()
        return Signed(*row) if row else None

    def log(self) -> KeyLog:
        """Return the log up to the newest head; `IntegrityError` if it is not what that says."""
        return KeyLog(_Rows(self._ask, self._frontier(), self._checked_entry))

    @contextmanager
    def growing(self) -> Iterator[KeyLog]:
        """Give the log to be appended to; without `keep`, nothing of that stays."""
        with self._translated():
            self._db.execute("PRAGMA temp_store = FILE")
            self._db.execute("DROP TABLE IF EXISTS temp.unproved")
            self._db.execute(f"CREATE TEMP TABLE unproved ({_LOG})")
            self._db.execute("CREATE INDEX temp.unproved_by_user ON unproved (user, at)")
            try:
                yield KeyLog(_Rows(self._ask, self._frontier(), self._checked_entry))
            finally:
                self._db.execute("DROP TABLE IF EXISTS temp.unproved")

    def page(self) -> AbstractContextManager[None]:
        """Do several appends in one transaction, which is faster; send no request inside it."""
        return self._transaction("DEFERRED")

    def keep(self, log: KeyLog, head: Signed) -> None:
        """Keep what was appended to a log that is `growing`, and the head that proves all of it.

        If another command has read further in the meantime, its head stays. Raises `RollbackError`
        if that command was shown another log.
        """
        with self._translated(), self._transaction():
            kept, size = self._frontier(), len(log)
            if kept.size >= size:
                if size and self._ask(_ROOT, (size - 1,)) != [(log.root(size),)]:
                    raise forked()
                return
            ((first,),) = self._ask("SELECT min(at) FROM temp.unproved")
            if kept.size < first or log.root(kept.size) != kept.root:
                raise forked()
            self._db.execute(
                "INSERT INTO main.log SELECT * FROM temp.unproved WHERE at >= ?", (kept.size,)
            )
            self._db.execute(
                "INSERT OR REPLACE INTO head VALUES (1, ?, ?, ?)",
                (head.payload, head.signature, log.frontier.pack()),
            )

    def ends_from(self, first: int) -> Iterator[int]:
        """Yield the index of each entry from `first` on that ended a person's keys."""
        with self._translated():
            rows = self._db.execute("SELECT at FROM main.log WHERE ends AND at >= ?", (first,))
            for (at,) in rows:
                yield at

    def renewed(self) -> int:
        """Return the number of the first entries after which the user's shares were renewed."""
        rows = self._ask("SELECT entries FROM renewed")
        return rows[0][0] if rows else 0

    def set_renewed(self, entries: int) -> None:
        """Note that the user's shares were renewed after these first entries of the log."""
        self._ask("INSERT OR REPLACE INTO renewed VALUES (1, ?)", (entries,))

    def _ask(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        with self._translated():
            return self._db.execute(query, values).fetchall()

    def _frontier(self) -> Frontier:
        """Return the frontier of the log as it is kept; `IntegrityError` if the log is damaged."""
        with self._translated():
            row = self._db.execute("SELECT payload, frontier FROM head").fetchone()
            if row is None:
                return Frontier()
            try:
                head = unpack(row[0], KeyLogHead)
                frontier = Frontier(head.size, row[1])
            except (SecurityError, ValueError):
                raise self.damaged from None
            last = self._ask(_ROOT, (head.size - 1,))
            if frontier.root != head.root or (head.size and last != [(head.root,)]):
                raise self.damaged
            return frontier

    def _checked_entry(self, row: _LogRow) -> KeyLogEntry:
        """Read an entry that was verified when it was appended; only damage can change it."""
        at, user, data, root, checksum = row
        try:
            entry = read_entry(data, at)
        except SecurityError:
            raise self.damaged from None
        if entry.user != user or checksum != _checksum(data, root):
            raise self.damaged
        return entry

    def forget_log(self) -> None:
        """Forget the log and its head; the pins stay."""
        with self._translated(), self._transaction():
            self._db.execute("DELETE FROM log")
            self._db.execute("DELETE FROM head")
            self._db.execute("DELETE FROM renewed")

    def everything(self) -> KnownPeople:
        """Return all that is known, for another machine."""
        from fsproto.keys.portable import KnownPeople, Pinned

        pins = [Pinned(one.user, one.bundle, one.ed25519, one.compared) for one in self.pins()]
        with self._translated(), self._transaction("DEFERRED"):
            rows = self._db.execute("SELECT entry FROM main.log ORDER BY at").fetchall()
            return KnownPeople(self.head(), [entry for (entry,) in rows], pins)

    def take_over(self, known: KnownPeople) -> None:
        """Begin with what another machine has known; `SecurityError` if its log is not whole."""
        if known.head is not None:
            with self.growing() as log:
                with self.page():
                    for entry in known.entries:
                        log.append(entry)
                head = unpack(known.head.payload, KeyLogHead)
                if (head.size, head.root) != (len(log), log.root(len(log))):
                    raise IntegrityError("The key log of the other machine is damaged.")
                self.keep(log, known.head)
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

    def users(self) -> list[str]:
        """Return the names of the people in the log."""
        return [user for (user,) in self._ask("SELECT DISTINCT user FROM log")]

    def shown(self, user: str) -> Hash | None:
        """Return the hash of the bundle whose words were shown last."""
        with self._translated():
            row = self._db.execute("SELECT bundle FROM shown WHERE user = ?", (user,)).fetchone()
        return Hash(row[0]) if row else None

    def set_shown(self, user: str, bundle: Hash) -> None:
        """Note whose words are shown."""
        with self._translated():
            self._db.execute("INSERT OR REPLACE INTO shown VALUES (?, ?)", (user, bundle))

    def memory_at(self) -> int:
        """Return the mark of the memory of seen versions at the end of the last session, or 0."""
        rows = self._ask("SELECT at FROM memory", ())
        return rows[0][0] if rows else 0

    def note_memory(self, at: int) -> None:
        """Note a mark of the memory, unless another command has noted a later one."""
        self._ask(
            "INSERT INTO memory VALUES (1, ?) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
            (at,),
        )

    def reset_memory(self, at: int) -> None:
        """Note the mark of another memory, in place of the noted one."""
        self._ask("INSERT OR REPLACE INTO memory VALUES (1, ?)", (at,))

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


class _Rows:
    """`LogRows` in SQLite: verified entries are in `log`, appended ones in `unproved`."""

    def __init__(
        self,
        ask: Callable[[str, tuple[object, ...]], list[Any]],
        frontier: Frontier,
        read: Callable[[_LogRow], KeyLogEntry],
    ) -> None:
        self._ask = ask
        self._frontier = frontier
        self._read = read
        self._verified = frontier.size
        """Entries in `log` that are taken; another command may add more."""

    def frontier(self) -> Frontier:
        return self._frontier

    def add(self, entry: KeyLogEntry, data: bytes, root: Hash) -> None:
        ends = entry.event is not KeyEvent.ENROLLED
        row = entry.index, entry.user, ends, data, root, _checksum(data, root)
        self._ask("INSERT INTO unproved VALUES (?, ?, ?, ?, ?, ?)", row)

    def root(self, size: int) -> Hash:
        row = None
        for row in self._ask(_query("at = ?", fresh=size > self._verified), (size - 1,)):
            self._read(row)
        if row is None:
            raise IntegrityError("The key log has no such size.")
        return Hash(row[3])

    def newest(self, user: str, below: int) -> KeyLogEntry | None:
        last = "user = ? AND at < ? ORDER BY at DESC LIMIT 1"
        for fresh, until in self._parts(below, newest_first=True):
            for row in self._ask(_query(last, fresh=fresh), (user, until)):
                return self._read(row)
        return None

    def of(self, user: str, below: int, most: int) -> list[KeyLogEntry]:
        found: list[KeyLogEntry] = []
        first = "user = ? AND at < ? ORDER BY at LIMIT ?"
        for fresh, until in self._parts(below):
            rows = self._ask(_query(first, fresh=fresh), (user, until, most - len(found)))
            found += map(self._read, rows)
        return found

    def _parts(self, below: int, *, newest_first: bool = False) -> list[tuple[bool, int]]:
        parts = [(False, min(below, self._verified))]
        if below > self._verified:
            parts.append((True, below))
        return parts[::-1] if newest_first else parts


def _query(where: str, *, fresh: bool) -> str:
    """Return the query for entries; `fresh`: for those that no head has proved yet."""
    table = "temp.unproved" if fresh else "main.log"
    return f"SELECT at, user, entry, root, checksum FROM {table} WHERE {where}"  # noqa: S608


def _checksum(data: bytes, root: bytes) -> bytes:
    return crypto.sha256(data, root)[:8]


def forked() -> RollbackError:
    """Return the error for a log that does not continue the seen one."""
    return RollbackError(
        "THE SERVER SHOWED ANOTHER KEY LOG than it did before.",
        hint="Stop and talk to your administrator. Only if a backup was restored: fsclient doctor "
        "--accept-key-log",
    )


def _pin(row: tuple[str, bytes, bytes, int]) -> Pin:
    user, bundle, ed25519, mark = row
    return Pin(user, Hash(bundle), ed25519, mark > 0, mark > 1)
