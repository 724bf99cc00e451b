"""Key logs in memory, for tests that need no profile."""

from __future__ import annotations

from collections.abc import Iterable

from fsproto.errors import IntegrityError
from fsproto.keylog.entries import KeyLogEntry, read_entry
from fsproto.keylog.log import KeyLog
from fsproto.proofs.merkle import Frontier
from fsproto.types import Hash


class MemoryRows:
    """`LogRows` in lists."""

    def __init__(self) -> None:
        self.entries: list[KeyLogEntry] = []
        self.roots: list[Hash] = []

    def frontier(self) -> Frontier:
        """Return the frontier of an empty log."""
        return Frontier()

    def add(self, entry: KeyLogEntry, data: bytes, root: Hash) -> None:
        """Keep an entry."""
        del data
        self.entries.append(entry)
        self.roots.append(root)

    def root(self, size: int) -> Hash:
        """Return the root over the first entries."""
        if size > len(self.roots):
            raise IntegrityError("The key log has no such size.")
        return self.roots[size - 1]

    def newest(self, user: str, below: int) -> KeyLogEntry | None:
        """Return the last entry about a person."""
        found = self.of(user, below, below)
        return found[-1] if found else None

    def of(self, user: str, below: int, most: int) -> list[KeyLogEntry]:
        """Return the first entries about a person."""
        return [entry for entry in self.entries[:below] if entry.user == user][:most]


def key_log(data: Iterable[bytes] = ()) -> KeyLog:
    """Return a log with some entries; `SecurityError` if an entry may not follow."""
    log = KeyLog(MemoryRows())
    for one in data:
        log.append(one)
    return log


def people(data: Iterable[bytes]) -> list[str]:
    """Return the names of the people with keys after some entries."""
    data = list(data)
    log = key_log(data)
    users = {read_entry(one, index).user for index, one in enumerate(data)}
    return sorted(user for user in users if log.now(user) is not None)
