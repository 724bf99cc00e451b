"""The complete key log in memory: everybody's current and former keys.

A client keeps all entries (about 150 bytes each) and asks for no proofs. It computes the root from
the entries that it has read. Therefore every entry is included, every new head extends the previous
one, and the server cannot hide anybody's newest keys (RFC 9162 has proofs of inclusion and of
consistency, but no proof that an entry is the last one of a person).
"""

from __future__ import annotations

from collections.abc import Iterable

from fsproto.errors import RollbackError
from fsproto.keylog.entries import KeyEvent, KeyLogEntry, Keys, check_follows, read_entry
from fsproto.proofs import merkle
from fsproto.types import Hash


class KeyLog:
    """All entries up to some size, checked one by one."""

    def __init__(self) -> None:
        """Start with an empty log."""
        self._leaves: list[Hash] = []
        self._now: dict[str, Keys] = {}
        self._chains: dict[str, list[list[Keys]]] = {}
        """For each person the chains of rotated keys, the oldest first; a reset ends a chain."""
        self._ended: dict[tuple[str, bytes], int] = {}
        """For a person and an identity key the index of the entry that ended the key."""
        self._roots: dict[int, Hash] = {}
        self.resets: list[KeyLogEntry] = []

    def __len__(self) -> int:
        return len(self._leaves)

    def extend(self, data: Iterable[bytes]) -> list[KeyLogEntry]:
        """Add further entries; `SecurityError` for an entry that may not follow."""
        read = []
        for one in data:
            entry = read_entry(one, len(self._leaves))
            before = self._now.get(entry.user)
            keys = check_follows(entry, before)
            if before is not None:
                self._ended[entry.user, before.ed25519] = entry.index
            self._leaves.append(merkle.leaf_hash(one))
            if keys is None:
                del self._now[entry.user]
                self.resets.append(entry)
            else:
                chains = self._chains.setdefault(entry.user, [])
                if entry.event is KeyEvent.ENROLLED:
                    chains.append([])
                chains[-1].append(keys)
                self._now[entry.user] = keys
            read.append(entry)
        return read

    def root(self, size: int) -> Hash:
        """Return the root over the first `size` entries; the log must have that many."""
        found = self._roots.get(size)
        if found is None:
            found = self._roots[size] = merkle.tree_root(self._leaves[:size])
        return found

    def check_seen(self, size: int, root: Hash) -> None:
        """Check a head seen by another person against this log; `RollbackError` for a fork."""
        if size > len(self) or self.root(size) != root:
            raise RollbackError(
                "THE SERVER HAS SHOWN ANOTHER KEY LOG to a person whose changes you see.",
                hint="Stop and talk to your administrator: this does not happen by accident.",
            )

    def now(self, user: str) -> Keys | None:
        """Return a person's current keys; None if there are none."""
        return self._now.get(user)

    def ended(self, user: str, key: bytes) -> int | None:
        """Return the index of the entry that ended an identity key; None if it is current."""
        return self._ended.get((user, key))

    def people(self) -> list[str]:
        """Return the names of all people with keys."""
        return sorted(self._now)

    def all_of(self, user: str, key: bytes) -> list[Keys]:
        """Return the chain of rotated keys that contains the Ed25519 key `key`.

        It has no keys from the other side of a reset, as these may belong to another person.
        """
        for chain in self._chains.get(user, []):
            if any(keys.ed25519 == key for keys in chain):
                return chain
        return []

    def follows(self, user: str, key: bytes, earlier: bytes) -> bool:
        """Return whether an identity key is `earlier`, or has replaced it by rotations."""
        chain = [keys.ed25519 for keys in self.all_of(user, earlier)]
        return key == earlier or key in chain[chain.index(earlier) :] if chain else key == earlier

    def same_person(self, user: str, one: bytes, other: bytes) -> bool:
        """Return whether two identity keys (32 bytes) are in one chain of rotated keys."""
        return one == other or any(keys.ed25519 == other for keys in self.all_of(user, one))
