"""Queries on quotas: used amounts and limits of trees, and reservations of uploads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session as Db

from fsd.store.models import Blob, Node, User, table
from fsd.store.quota_models import Handover, Quota, Reservation
from fsd.store.repos.many import SOME, for_each, helpings, of_some, run, scalar
from fsproto.sealed.manifest import NodeKind

_NODES, _BLOBS, _HANDOVERS = table(Node), table(Blob), table(Handover)
_RESERVATIONS, _QUOTAS = table(Reservation), table(Quota)
_AS_IS = {"synchronize_session": False}


class Held(NamedTuple):
    """An amount of files: the sealed bytes of their current contents, and the number of files."""

    size: int = 0
    files: int = 0

    def less(self, other: Held) -> Held:
        """Return this amount minus another."""
        return Held(self.size - other.size, self.files - other.files)

    def and_more(self, other: Held) -> Held:
        """Return the sum of both."""
        return Held(self.size + other.size, self.files + other.files)


def _counted() -> Select[Any]:
    """Select what counts: the current contents of files that are not removed."""
    size = func.coalesce(func.sum(_BLOBS.c.size), 0)
    its_own = (_BLOBS.c.root == _NODES.c.blob) & (_BLOBS.c.node_id == _NODES.c.id)
    joined = _NODES.outerjoin(_BLOBS, its_own)
    there = (_NODES.c.kind == int(NodeKind.FILE)) & _NODES.c.removed_ms.is_(None)
    return select(size, func.count()).select_from(joined).where(there)


_OF_NODES = _counted().where(_NODES.c.id.in_(SOME))


def of_nodes(db: Db, nodes: Iterable[bytes]) -> Held:
    """Count those of the nodes that are existing files; each may be given only once."""
    some = [Held(int(size), files) for size, files in of_some(db, _OF_NODES, nodes)]
    return Held(sum(one.size for one in some), sum(one.files for one in some))


def of_trees(db: Db, user_id: int) -> Held:
    """Count all trees in a user's quota; `Quota.used_bytes` and `used_files` must equal this."""
    owners = owners_in(db, user_id)
    size, files = db.execute(_counted().where(_NODES.c.owner_id.in_(owners))).one()
    return Held(int(size), files)


def owners_in(db: Db, user_id: int) -> list[int]:
    """Return the users whose trees count in a user's quota."""
    owners = handed_to(db, user_id)
    return [*owners, user_id] if payer_of(db, user_id) == user_id else owners


def differing(db: Db) -> list[tuple[str, Held, Held]]:
    """Return the users whose stored amount is wrong: name, stored amount, counted amount."""
    found = []
    rows = db.execute(
        select(User.name, User.id, Quota.used_bytes, Quota.used_files)
        .outerjoin(Quota)
        .order_by(User.name)
    )
    for name, user_id, used_bytes, used_files in rows.all():
        noted, there = Held(used_bytes, used_files), of_trees(db, user_id)
        if noted != there:
            found.append((name, noted, there))
    return found


# --- the quota row of a user


def begin(db: Db, user_id: int) -> None:
    """Create the quota row of a new user."""
    db.execute(insert(Quota).values(user_id=user_id, used_bytes=0, used_files=0))


def get(db: Db, user_id: int) -> Quota | None:
    """Return a user's quota row."""
    return db.get(Quota, user_id)


@dataclass
class HeldQuota:
    """A locked row of `Quota`. A change of it is stored by `store`."""

    user_id: int
    most_bytes: int | None
    most_files: int | None
    used_bytes: int
    used_files: int
    nodes: int | None
    record_bytes: int | None
    kept_bytes: int | None
    changes: int


_CHANGING = ("used_bytes", "used_files", "nodes", "record_bytes", "kept_bytes", "changes")
_HELD = (
    select(*(_QUOTAS.c[one.name] for one in fields(HeldQuota)))
    .where(_QUOTAS.c.user_id == bindparam("payer"))
    .with_for_update()
)
_STORE = update(_QUOTAS).where(_QUOTAS.c.user_id == bindparam("payer"))


def hold(db: Db, user_id: int) -> HeldQuota | None:
    """Return the quota row in which a user's tree counts, locked until the end of the transaction.

    It is locked before any other row, so that no deadlock arises; later reads in the transaction
    then see the changes of every earlier holder.
    """
    while True:
        payer = payer_of(db, user_id)
        found = [HeldQuota(*row) for row in run(db, _HELD, payer=payer)]
        if payer_of(db, user_id) == payer:  # the tree was not handed over before the lock
            return found[0] if found else None


def store(db: Db, row: HeldQuota) -> None:
    """Store the changes of a row."""
    for_each(
        db,
        _STORE,
        [{"payer": row.user_id} | {name: getattr(row, name) for name in _CHANGING}],
    )


def start_over(db: Db, user_id: int) -> None:
    """Count a user's quota again and end the reservations in it; the row is locked."""
    size, files = of_trees(db, user_id)
    known = update(Quota).where(Quota.user_id == user_id)
    values = known.values(
        used_bytes=size, used_files=files, nodes=None, record_bytes=None, kept_bytes=None
    )
    noted = db.execute(values)
    if not noted.rowcount:  # type: ignore[attr-defined]
        begin(db, user_id)
        db.execute(values)
    db.execute(delete(Reservation).where(Reservation.owner_id == user_id), execution_options=_AS_IS)


_AN_OWNER = select(_NODES.c.owner_id).where(_NODES.c.id.in_(SOME)).limit(1)


def owner_of(db: Db, folders: Sequence[bytes]) -> int | None:
    """Return the owner of some folders, who must be the same for all; None if none exists."""
    found: int | None = next(of_some(db, _AN_OWNER, folders), (None,))[0]
    return found


# --- changes


class Change(NamedTuple):
    """The last change of the trees in a user's quota."""

    payer_id: int
    number: int


def next_change(row: HeldQuota | None) -> int:
    """Count a change of folders in a tree whose quota row is locked; return the change's number.

    `store` stores it. 0 if the tree has no quota row.
    """
    if row is None:
        return 0
    row.changes += 1
    return row.changes


def last_change(db: Db, owner_id: int) -> Change:
    """Return the last change of the trees in whose quota a user's tree counts."""
    payer_id = payer_of(db, owner_id)
    return Change(payer_id, last_changes(db, [payer_id]).get(payer_id, 0))


def last_changes(db: Db, payers: Sequence[int]) -> dict[int, int]:
    """Return the number of the last change in the quota of each of some users."""
    found: dict[int, int] = {}
    for some in helpings(payers):
        rows = db.execute(select(Quota.user_id, Quota.changes).where(Quota.user_id.in_(some)))
        found.update({row.user_id: row.changes for row in rows})
    return found


# --- trees that were handed over


def handover(db: Db, user_id: int) -> Handover | None:
    """Return the user to whom a closed account was handed over; None if it is not closed."""
    return db.get(Handover, user_id, populate_existing=True)


_PAYER = select(_HANDOVERS.c.payer_id).where(_HANDOVERS.c.user_id == bindparam("owner"))


def payer_of(db: Db, owner_id: int) -> int:
    """Return the user in whose quota a tree counts: its owner, unless it was handed over."""
    payer = scalar(db, _PAYER, owner=owner_id)
    return owner_id if payer is None else payer


def handed_to(db: Db, user_id: int) -> list[int]:
    """Return the users whose trees were handed over to a user."""
    return list(db.scalars(select(Handover.user_id).where(Handover.payer_id == user_id)))


def hand_over(db: Db, user_id: int, payer_id: int, now_ms: int) -> None:
    """Move everything in a user's quota to another user's quota; both rows are locked."""
    db.execute(
        update(Handover).where(Handover.payer_id == user_id).values(payer_id=payer_id),
        execution_options=_AS_IS,
    )
    db.add(Handover(user_id=user_id, payer_id=payer_id, closed_ms=now_ms))
    db.flush()
    start_over(db, user_id)
    start_over(db, payer_id)


# --- reservations


def reserved(
    db: Db, owner_id: int, now_ms: int, user_id: int, without: Iterable[bytes] = ()
) -> Held:
    """Count the reservations in a user's quota, except those of one uploader for some blobs."""
    left_out = set(without)
    rows = db.execute(
        select(Reservation.user_id, Reservation.salt, Reservation.size, Reservation.files).where(
            Reservation.owner_id == owner_id, Reservation.until_ms > now_ms
        )
    ).all()
    counted = [row for row in rows if row.user_id != user_id or row.salt not in left_out]
    return Held(sum(row.size for row in counted), sum(row.files for row in counted))


def reserve(db: Db, row: Reservation) -> None:
    """Store a reservation; it replaces the same user's reservation for the same blob."""
    db.merge(row)


_SALTS = select(_RESERVATIONS.c.salt).where(_RESERVATIONS.c.user_id == bindparam("uploader"))


def salts(db: Db, user_id: int) -> set[bytes]:
    """Return the salts of the blobs for which a user has reservations."""
    return {salt for (salt,) in run(db, _SALTS, uploader=user_id)}


def release(db: Db, user_id: int, blobs: Iterable[bytes]) -> None:
    """End a user's reservations for blobs."""
    for salt in blobs:
        same = (Reservation.user_id == user_id, Reservation.salt == salt)
        db.execute(delete(Reservation).where(*same), execution_options=_AS_IS)


def release_line(db: Db, line: bytes, salt: bytes | None = None) -> None:
    """End the reservations of a connection: all, or the one for one blob."""
    gone = delete(Reservation).where(Reservation.line == line)
    if salt is not None:
        gone = gone.where(Reservation.salt == salt)
    db.execute(gone, execution_options=_AS_IS)


def renew(db: Db, lines: Sequence[bytes], until_ms: int) -> None:
    """Extend the reservations of connections."""
    for some in helpings(lines):
        later = update(Reservation).where(Reservation.line.in_(some)).values(until_ms=until_ms)
        db.execute(later, execution_options=_AS_IS)


def tidy(db: Db, now_ms: int) -> None:
    """Delete expired reservations."""
    db.execute(delete(Reservation).where(Reservation.until_ms <= now_ms), execution_options=_AS_IS)
