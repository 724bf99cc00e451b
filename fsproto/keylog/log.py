"""The log as one who has read all of it knows it: whose keys are which now, and were before.

A client keeps every entry, which are some 150 bytes each, rather than asking for proofs: what it
computes the root of is what it has read, so every entry is included, every new head extends the
one before it, and nobody's newest keys can be held back (RFC 9162 has proofs for inclusion and
consistency, but none that an entry is the last of its person).
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
        """Begin with none."""
        self._leaves: list[Hash] = []
        self._now: dict[str, Keys] = {}
        self._chains: dict[str, list[list[Keys]]] = {}
        """For each person the sets of keys, oldest first, that follow from one another."""
        self._ended: dict[tuple[str, bytes], int] = {}
        """For a person and an identity key the index of the entry that put an end to it."""
        self._roots: dict[int, Hash] = {}
        self.resets: list[KeyLogEntry] = []

    def __len__(self) -> int:
        return len(self._leaves)

    def extend(self, data: Iterable[bytes]) -> list[KeyLogEntry]:
        """Read further entries; a `SecurityError` says what cannot follow."""
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
        """Return the root over the first `size` entries, of which there must be as many."""
        found = self._roots.get(size)
        if found is None:
            found = self._roots[size] = merkle.tree_root(self._leaves[:size])
        return found

    def check_seen(self, size: int, root: Hash) -> None:
        """Hold a head that somebody else has seen against this log; `RollbackError` for a fork."""
        if size > len(self) or self.root(size) != root:
            raise RollbackError(
                "THE SERVER HAS SHOWN ANOTHER KEY LOG to somebody whose changes you see.",
                hint="Stop and talk to your administrator: this does not happen by accident.",
            )

    def now(self, user: str) -> Keys | None:
        """Return the keys that a person has."""
        return self._now.get(user)

    def ended(self, user: str, key: bytes) -> int | None:
        """Return the index of the entry that ended an identity key; None if it holds."""
        return self._ended.get((user, key))

    def people(self) -> list[str]:
        """Return everybody who has keys."""
        return sorted(self._now)

    def all_of(self, user: str, key: bytes) -> list[Keys]:
        """Return all keys of the person who had the Ed25519 key `key`, one replacing the other.

        None of them belong to somebody else of the same name, before or after a reset.
        """
        for chain in self._chains.get(user, []):
            if any(keys.ed25519 == key for keys in chain):
                return chain
        return []

    def same_person(self, user: str, one: bytes, other: bytes) -> bool:
        """Tell whether two identity keys (32 bytes) are a person's and those that replaced them."""
        return one == other or any(keys.ed25519 == other for keys in self.all_of(user, one))
