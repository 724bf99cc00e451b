"""What a commit removes: read before the lock of the database, and used if it is still true.

A removed folder may have hundreds of thousands of files. To find and count them takes long, and no
other commit has to wait for it. If there are many, the commit removes only the folder, and what is
below it is marked as removed in further transactions (`pending_removals`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy.orm import Session as Db

from fsd.principal import Principal
from fsd.services.files.commit_checks import VerifiedCommit
from fsd.services.files.shares import folder_for
from fsd.store.engine import Database
from fsd.store.repos import nodes, pending_removals, quotas, versions
from fsd.store.repos.quotas import Change, Held, HeldQuota
from fsproto.errors import ConflictError, FsError
from fsproto.keys.grants import Role


@dataclass(frozen=True)
class Removed:
    """Nodes that lose their place, with everything below them."""

    tops: frozenset[bytes]
    below: list[bytes]
    """The tops too."""
    held: Held
    """What the present files among them count in the quota."""

    @property
    def is_large(self) -> bool:
        """Whether the nodes are too many for one transaction."""
        return len(self.below) > versions.PIECE


@dataclass(frozen=True)
class Foreseen:
    """What the removals of a commit would remove after a certain change of the trees."""

    removed: Removed
    owner_id: int
    """The owner of the trees."""
    after: Change

    def holds(self, tops: Collection[bytes], quota: HeldQuota | None) -> bool:
        """Return whether it can be used for these nodes; `quota` is the locked row of the tree.

        Of a large removal only the tops must be the same: what is below them is looked for again.
        """
        if self.removed.tops != frozenset(tops):
            return False
        same = quota is not None and self.after == Change(quota.user_id, quota.changes)
        return same or self.removed.is_large


@dataclass(frozen=True)
class Removes:
    """What a commit removes."""

    now: Removed
    """What the commit itself marks as removed."""
    together: Removed
    """All that is removed, in this transaction and in later ones."""


class StillMarkingError(ConflictError):
    """Something below removed folders of a user is not marked as removed yet."""

    def __init__(self, owner_id: int) -> None:
        """Take the user."""
        super().__init__("A large folder is still being removed; try again.")
        self.owner_id = owner_id


MARK_S = 20.0
"""Seconds for which a request marks what it removed; the janitor marks the rest."""


def mark_removed(database: Database, owner_id: int, within_s: float = math.inf) -> None:
    """Mark what is below removed folders of a user, in transactions that start within a time."""
    ends, there = time.monotonic() + within_s, True
    while there:
        with database.write() as db:
            there = pending_removals.mark_some(db, owner_id)
        there = there and time.monotonic() < ends


def removes(
    db: Db, gone_from: Collection[bytes], foreseen: Foreseen | None, quota: HeldQuota | None
) -> Removes:
    """Return what a commit removes; what was foreseen may be outdated."""
    if foreseen is not None and foreseen.holds(gone_from, quota):
        found = foreseen.removed
    else:
        found = removed(db, gone_from)
    if not found.is_large:
        return Removes(found, found)
    return Removes(Removed(found.tops, list(found.tops), quotas.of_nodes(db, found.tops)), found)


def foresee(db: Db, who: Principal, change: VerifiedCommit) -> Foreseen | None:
    """Look for what a commit that only removes would remove.

    None if the user may not change the folders: the commit itself is refused.
    """
    try:
        for folder in change.states:
            folder_for(db, nodes.get(db, folder), who, Role.WRITER)
    except FsError:
        return None
    tops = nodes.at(db, [(one.folder, one.token) for one in change.removals])
    owner_id = quotas.owner_of(db, list(change.states)) or who.user_id
    return Foreseen(removed(db, tops), owner_id, quotas.last_change(db, owner_id))


def removed(db: Db, tops: Collection[bytes]) -> Removed:
    """Return what goes with some nodes."""
    below = nodes.below(db, list(tops))
    return Removed(frozenset(tops), below, quotas.of_nodes(db, below))
