"""The present states of folders, and whether something under a folder has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fsd.principal import Principal
from fsd.services.files.shares import folder_for
from fsd.store.engine import Database
from fsd.store.repos import nodes, quotas, shares, states
from fsd.store.repos.quotas import Change
from fsproto.keys.grants import Role
from fsproto.messages.files import States
from fsproto.sealed.manifest import NodeKind
from fsproto.types import NodeId


@dataclass(frozen=True)
class Look:
    """What one look at a folder has found."""

    last: Change
    """The last change that the look includes; the next look starts there."""
    changed: bool


class ChangeService:
    """Use cases of clients that follow folders; all calls block."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def states(self, who: Principal, folders: list[NodeId]) -> States:
        """Return the states of folders; None for those that the user may not read."""
        with self._database.read() as db:
            rows = nodes.get_all(db, folders).values()
            found = [row for row in rows if row.kind == NodeKind.FOLDER]
            known = states.signed(db, shares.readable(db, who.user_id, found))
        return States([known.get(folder) for folder in folders])

    def look(self, who: Principal, folder: NodeId, before: Look | None) -> Look:
        """Return whether something under a folder has changed since the look before.

        If there was none, it has. `NotFoundError` for a folder that the user may not read.
        """
        with self._database.read() as db:
            owner_id = folder_for(db, nodes.get(db, folder), who, Role.READER).owner_id
            last = quotas.last_change(db, owner_id)
            since = None if before is None else before.last
            if since is None or since.payer_id != last.payer_id or since.number > last.number:
                return Look(last, changed=True)
            if since == last:
                return Look(last, changed=False)
            which = since.number, last.number
            return Look(last, states.has_changed_under(db, folder, owner_id, *which))

    def numbers(self, payers: Sequence[int]) -> dict[int, int]:
        """Return the number of the last change in the quota of each of some users."""
        with self._database.read() as db:
            return quotas.last_changes(db, payers)
