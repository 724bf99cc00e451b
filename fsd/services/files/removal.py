"""What a commit removes: read before the lock of the database, and used if it is still true.

A removed folder may have hundreds of thousands of files. To find and count them takes most of the
time of such a commit, and no other commit has to wait for it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy.orm import Session as Db

from fsd.principal import Principal
from fsd.services.files.commit_checks import VerifiedCommit
from fsd.services.files.shares import folder_for
from fsd.store.repos import nodes, quotas
from fsd.store.repos.quotas import Change, Held, HeldQuota
from fsproto.errors import FsError
from fsproto.keys.grants import Role


@dataclass(frozen=True)
class Removed:
    """Nodes that lose their place, with everything below them."""

    tops: frozenset[bytes]
    below: list[bytes]
    """The tops too."""
    held: Held
    """What the present files among them count in the quota."""


@dataclass(frozen=True)
class Foreseen:
    """What the removals of a commit would remove after a certain change of the trees."""

    removed: Removed
    after: Change

    def holds(self, tops: Collection[bytes], quota: HeldQuota | None) -> bool:
        """Return whether nothing has changed since; `quota` is the locked row of the tree."""
        same = quota is not None and self.after == Change(quota.user_id, quota.changes)
        return same and self.removed.tops == frozenset(tops)


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
    return Foreseen(removed(db, tops), quotas.last_change(db, owner_id))


def removed(db: Db, tops: Collection[bytes]) -> Removed:
    """Return what goes with some nodes."""
    below = nodes.below(db, list(tops))
    return Removed(frozenset(tops), below, quotas.of_nodes(db, below))
