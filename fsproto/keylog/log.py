"""The key log as a reader has it: a verified beginning, extended by what is new.

A client keeps all entries (about 250 bytes each, with the root at each size) and asks for no
proofs. It computes the root from the entries that it has read. Therefore every entry is included,
every new head extends the previous one, and the server cannot hide anybody's newest keys (RFC 9162
has proofs of inclusion and of consistency, but no proof that an entry is the last one of a person).

An entry is verified once, when it is appended. Later the log is asked about one person or one size
at a time, so that its length does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

from fsproto.errors import RemoteProtocolError, RollbackError
from fsproto.keylog.entries import KeyEvent, KeyLogEntry, Keys, check_follows, read_entry
from fsproto.limits import MAX_LOG_ENTRIES_OF_ONE
from fsproto.names import for_terminal
from fsproto.proofs.merkle import Frontier, leaf_hash
from fsproto.types import Hash

_REMEMBERED = 10_000
"""People whose newest keys stay in memory while entries are appended."""


class LogRows(Protocol):
    """The entries that were verified, and the root at each size."""

    def frontier(self) -> Frontier:
        """Return the frontier of the whole log."""

    def add(self, entry: KeyLogEntry, data: bytes, root: Hash) -> None:
        """Keep the next entry, its bytes, and the root over the entries up to it."""

    def root(self, size: int) -> Hash:
        """Return the root over the first `size` entries, 1 or more."""

    def newest(self, user: str, below: int) -> KeyLogEntry | None:
        """Return the last entry about a person of those with an index below `below`."""

    def of(self, user: str, below: int, most: int) -> Sequence[KeyLogEntry]:
        """Return the first `most` entries about a person with an index below `below`."""


class KeyLog:
    """All entries up to some size, checked one by one."""

    def __init__(self, rows: LogRows) -> None:
        """Start with the entries in `rows`, which were verified before."""
        self._rows = rows
        self._frontier = rows.frontier()
        self._now: dict[str, Keys | None] = {}
        self._entries: dict[str, Sequence[KeyLogEntry]] = {}

    def __len__(self) -> int:
        return self._frontier.size

    def append(self, data: bytes) -> KeyLogEntry:
        """Verify and add the next entry; `SecurityError` for an entry that may not follow."""
        entry = read_entry(data, len(self))
        keys = check_follows(entry, self.now(entry.user))
        self._frontier.append(leaf_hash(data))
        self._rows.add(entry, data, self._frontier.root)
        self._now[entry.user] = keys
        self._entries.pop(entry.user, None)
        return entry

    @property
    def frontier(self) -> Frontier:
        """The frontier of the whole log; it changes with each further entry."""
        return self._frontier

    def root(self, size: int) -> Hash:
        """Return the root over the first `size` entries; the log must have that many."""
        if size == len(self):
            return self._frontier.root
        return self._rows.root(size) if size else Frontier().root

    def check_seen(self, size: int, root: Hash) -> None:
        """Check a head seen by another person against this log; `RollbackError` for a fork."""
        if size > len(self) or self.root(size) != root:
            raise RollbackError(
                "THE SERVER HAS SHOWN ANOTHER KEY LOG to a person whose changes you see.",
                hint="Stop and talk to your administrator: this does not happen by accident.",
            )

    def now(self, user: str) -> Keys | None:
        """Return a person's current keys; None if there are none."""
        if user not in self._now:
            if len(self._now) >= _REMEMBERED:
                self._now.clear()
            newest = self._rows.newest(user, len(self))
            self._now[user] = None if newest is None else _keys(newest)
        return self._now[user]

    def ended(self, user: str, key: bytes) -> int | None:
        """Return the index of the entry that ended an identity key; None if it is current."""
        ends = [after.index for entry, after in pairwise(self._of(user)) if entry.ed25519 == key]
        return ends[-1] if ends else None

    def all_of(self, user: str, key: bytes) -> list[Keys]:
        """Return the chain of rotated keys that contains the Ed25519 key `key`.

        It has no keys from the other side of a reset, as these may belong to another person.
        """
        chain: list[Keys] = []
        for entry in self._of(user):
            keys = _keys(entry)
            if entry.event is KeyEvent.ENROLLED:
                if any(one.ed25519 == key for one in chain):
                    break
                chain = []
            if keys is not None:
                chain.append(keys)
        return chain if any(one.ed25519 == key for one in chain) else []

    def follows(self, user: str, key: bytes, earlier: bytes) -> bool:
        """Return whether an identity key is `earlier`, or has replaced it by rotations."""
        chain = [keys.ed25519 for keys in self.all_of(user, earlier)]
        return key == earlier or key in chain[chain.index(earlier) :] if chain else key == earlier

    def same_person(self, user: str, one: bytes, other: bytes) -> bool:
        """Return whether two identity keys (32 bytes) are in one chain of rotated keys."""
        return one == other or any(keys.ed25519 == other for keys in self.all_of(user, one))

    def _of(self, user: str) -> Sequence[KeyLogEntry]:
        """Return all entries about a person; `RemoteProtocolError` if there are too many."""
        found = self._entries.get(user)
        if found is None:
            found = self._rows.of(user, len(self), MAX_LOG_ENTRIES_OF_ONE + 1)
            if len(found) > MAX_LOG_ENTRIES_OF_ONE:
                raise RemoteProtocolError(
                    f"The key log has more than {MAX_LOG_ENTRIES_OF_ONE} entries about "
                    f"{for_terminal(user)}.",
                    hint=f"{for_terminal(user)} can get another account from the administrator.",
                )
            self._entries[user] = found
        return found


def _keys(entry: KeyLogEntry) -> Keys | None:
    """Return the keys that an entry names; None for a reset."""
    if entry.event is KeyEvent.RESET:
        return None
    return Keys(entry.user, entry.index, entry.bundle, entry.ed25519)
