"""Queries on folder states: many at once, and those that a change has made."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session as Db

from fsd.store.models import FolderState, Node, table
from fsd.store.repos.many import SOME, of_some, run
from fsproto.signed import Signed

_NODES, _STATES = table(Node), table(FolderState)
_SIGNED = select(_STATES.c.folder_id, _STATES.c.payload, _STATES.c.signature).where(
    _STATES.c.folder_id.in_(SOME)
)


def signed(db: Db, folders: Iterable[bytes]) -> dict[bytes, Signed]:
    """Return the states of those folders that exist, by folder."""
    return {folder: Signed(p, s) for folder, p, s in of_some(db, _SIGNED, list(folders))}


_CHANGED = select(_STATES.c.folder_id).where(
    _STATES.c.owner_id == bindparam("owner"),
    _STATES.c.changed > bindparam("after"),
    _STATES.c.changed <= bindparam("until"),
)
_PARENTS = select(_NODES.c.parent_id).where(_NODES.c.id.in_(SOME), _NODES.c.parent_id.is_not(None))


def has_changed_under(db: Db, top: bytes, owner_id: int, after: int, until: int) -> bool:
    """Return whether changes with these numbers made a state of a folder, or of one below it."""
    rows = run(db, _CHANGED, owner=owner_id, after=after, until=until)
    left = {folder for (folder,) in rows}
    seen = set[bytes]()
    while left and top not in left:
        seen |= left
        left = {row[0] for row in of_some(db, _PARENTS, left)} - seen
    return top in left
