"""The key log on the server: each change of a user's keys is an entry.

The transaction that changes the keys also adds the entry, so no change lacks one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable

from sqlalchemy.orm import Session as Db

from fsd.principal import Principal
from fsd.store import models
from fsd.store.engine import Database
from fsd.store.repos import keylog as rows
from fsd.store.repos import users
from fsproto import crypto, labels
from fsproto.errors import IntegrityError, NotFoundError, RemoteProtocolError
from fsproto.keylog.entries import FORMAT, KeyEvent, KeyLogEntry, entry_bytes
from fsproto.keylog.head import KeyLogHead, sign_head, unpack_log_head
from fsproto.messages.keylog import BundleOf, LogEntries
from fsproto.packing import unpack
from fsproto.proofs.merkle import Frontier, leaf_hash
from fsproto.signed import Signed, payload_hash
from fsproto.types import Hash

_AT_ONCE = 1000
"""Entries in one answer; each has some 150 bytes."""
_MOST_KNOWN = 4096
"""Heads that were checked; each takes about 300 bytes."""


class KeyLogWriter:
    """Adds to the key log and reads from it."""

    def __init__(self, key: crypto.SigningKey, *, now_ms: Callable[[], int]) -> None:
        """Take the log's own key."""
        self._key = key
        self._now_ms = now_ms

    def enrolled(self, db: Db, user: str, bundle: Hash, ed25519: bytes) -> None:
        """Record the first keys of a user."""
        self._add(db, user, KeyEvent.ENROLLED, (bundle, ed25519, b""))

    def rotated(self, db: Db, user: str, bundle: Hash, ed25519: bytes, signature: bytes) -> None:
        """Record the replacement of a user's keys, with the signature by the old key."""
        self._add(db, user, KeyEvent.ROTATED, (bundle, ed25519, signature))

    def reset(self, db: Db, user: str) -> None:
        """Record that a user's keys were reset, if the log has keys of that user."""
        if rows.last_of(db, user) is None:
            return  # enrolled before the log existed; `catch_up` finds no keys after the reset
        self._add(db, user, KeyEvent.RESET, (Hash(b""), b"", b""))

    def head(self, db: Db) -> Signed:
        """Return the head."""
        found = rows.head(db)
        return Signed(found.payload, found.signature)

    def catch_up(self, database: Database) -> None:
        """Record the keys of users who enrolled before the log existed.

        `IntegrityError` if another key signed the log.
        """
        with database.write() as db:
            head = self._held(db)
            for user, bundle in rows.everybody(db):
                if rows.last_of(db, user.name) is None:
                    self.enrolled(db, user.name, _bundle_hash(bundle), bundle.ed25519)
            if not head.payload:
                self._sign(db, head)

    def _add(self, db: Db, user: str, event: KeyEvent, keys: tuple[Hash, bytes, bytes]) -> None:
        head = self._held(db)
        now = self._now_ms()
        entry = KeyLogEntry(FORMAT, head.size, user, event, *keys, now)
        data = entry_bytes(entry)
        frontier = Frontier(head.size, head.frontier)
        frontier.append(leaf_hash(data))
        root = frontier.root
        db.add(models.LogEntry(index=head.size, user=user, payload=data, root=root))
        head.size, head.frontier = frontier.size, frontier.pack()
        self._sign(db, head)

    def _held(self, db: Db) -> models.LogHead:
        """Return the locked head; `IntegrityError` if another key signed it."""
        head = rows.head_for_update(db)
        if head.payload and unpack(head.payload, KeyLogHead).key != self._key.public:
            raise IntegrityError(
                "The log key of the data directory is not the one of its database.",
                hint="Restore log.key from a copy: clients refuse any other key.",
            )
        return head

    def _sign(self, db: Db, head: models.LogHead) -> None:
        root = Frontier(head.size, head.frontier).root
        signed = sign_head(self._key, head.size, root, self._now_ms())
        head.payload, head.signature = signed.payload, signed.signature
        db.flush()


class KeyLogService:
    """Reads of the log for logged-in users; all calls block."""

    def __init__(self, database: Database, keeper: KeyLogWriter) -> None:
        """Take the parts."""
        self._database = database
        self._keeper = keeper

    def entries(self, first: int) -> LogEntries:
        """Return entries from number `first` on, and the head."""
        if not 0 <= first < 1 << 63:
            raise RemoteProtocolError("The key log has no such entry.")
        with self._database.read() as db:
            return LogEntries(rows.entries(db, first, _AT_ONCE), self._keeper.head(db))

    def bundle(self, name: str) -> BundleOf:
        """Return a user's public keys; `NotFoundError` if there are none."""
        with self._database.read() as db:
            user = users.by_name(db, name) if "\0" not in name else None
            bundle = users.bundle(db, user.id) if user else None
            if bundle is None:
                raise NotFoundError("There are no keys of that person.")
            return BundleOf(Signed(bundle.payload, bundle.signature))


def check_log_heads(db: Db, user: str, heads: Iterable[bytes]) -> None:
    """Check the log heads in values that a user has signed after enrolling.

    Raises `RemoteProtocolError` for a head that the log never had, or that is older than the
    user's enrolment: readers refuse both.
    """
    seen = [unpack_log_head(packed) for packed in heads]
    known = [head for head in seen if head is not None]
    roots = rows.roots(db, [size for size, _ in known])
    if len(known) != len(seen) or any(roots.get(size) != root for size, root in known):
        raise RemoteProtocolError("A commit names a head that the key log never had.")
    oldest = min((size for size, _ in known), default=None)
    if oldest is None or oldest > rows.newest_index(db, user):
        return
    if oldest <= _enrolled_at(db, user):
        raise RemoteProtocolError("A commit names a key log from before its author enrolled.")


class KnownHeads:
    """The log heads that each session has named and that were checked; for many threads.

    Such a head stays true, and newer than the user's enrolment: the session ends if the user has to
    enrol again. So a commit need not read the log for it.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[int, bytes], None] = OrderedDict()

    def others(self, who: Principal, heads: Iterable[bytes]) -> set[bytes]:
        """Return the unchecked ones of some heads."""
        with self._lock:
            return {head for head in heads if (who.session_id, head) not in self._known}

    def add(self, who: Principal, heads: Iterable[bytes]) -> None:
        """Record that heads were checked; forget the oldest if there are too many."""
        with self._lock:
            self._known.update(dict.fromkeys((who.session_id, head) for head in heads))
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)


def _enrolled_at(db: Db, user: str) -> int:
    """Return the index of the entry with the first of a user's present line of keys."""
    for payload in rows.newest_first(db, user):
        entry = unpack(payload, KeyLogEntry)
        if entry.event is KeyEvent.ENROLLED:
            return entry.index
    raise IntegrityError("The key log has no enrolment of that person.")


def _bundle_hash(bundle: models.Bundle) -> Hash:
    return payload_hash(labels.HASH_BUNDLE, bundle.payload)
