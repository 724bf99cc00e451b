"""Queries on member lists and grants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, delete, func, select, tuple_
from sqlalchemy.orm import Session as Db

from fsd.store.models import BlockedOwner, Bundle, Grant, Manifest, MemberList, Node, User, table
from fsd.store.repos.many import SOME, helpings, of_some
from fsd.store.repos.nodes import StoredNode
from fsproto.errors import RemoteProtocolError
from fsproto.keys.grants import Role
from fsproto.keys.member_list import VerifiedMembers
from fsproto.signed import Signed

_LISTS_AT_ONCE = 8
"""Member lists that are read at a time; one has up to 500 KiB."""
_NODES, _GRANTS = table(Node), table(Grant)
_LISTS = table(MemberList)
# A user with access to a folder can also see the nodes that were removed from it.
_ABOVE = func.coalesce(_NODES.c.parent_id, _NODES.c.removed_from).label("above")
_UP = select(_NODES.c.id, _ABOVE).where(_NODES.c.id.in_(SOME)).cte("up", recursive=True)
_UP = _UP.union(select(_NODES.c.id, _ABOVE).join(_UP, _NODES.c.id == _UP.c.above))
_BEST = (
    select(func.max(_GRANTS.c.role))
    .join(_UP, _GRANTS.c.node_id == _UP.c.id)
    .where(_GRANTS.c.user_id == bindparam("user"))
)


def role(db: Db, user_id: int, node: bytes) -> Role | None:
    """Return the role that grants on a node, or on a folder above it, give a user."""
    ((found,),) = of_some(db, _BEST, [node], user=user_id)
    return None if found is None else Role(found)


def readable(db: Db, user_id: int, nodes: Iterable[StoredNode]) -> set[bytes]:
    """Return those of the nodes that a user owns or that are shared with that user."""
    there = list(nodes)
    mine = {node.id for node in there if node.owner_id == user_id}
    theirs = [node for node in there if node.owner_id != user_id]
    # One request names files of few folders, and a grant is rarely on the file itself.
    folders = {node.parent_id for node in theirs if node.parent_id is not None}
    open_folders = {folder for folder in folders if role(db, user_id, folder) is not None}
    for node in theirs:
        if node.parent_id in open_folders or role(db, user_id, node.id) is not None:
            mine.add(node.id)
    return mine


def lists(db: Db, nodes: Iterable[bytes], most: int | None = None) -> dict[bytes, MemberList]:
    """Return the member lists of those nodes that have one.

    `RemoteProtocolError` if they have more than `most` bytes; no more of them are read.
    """
    found, size = dict[bytes, MemberList](), 0
    for some in helpings(list(nodes)):
        query = select(MemberList).where(MemberList.node_id.in_(some))
        for row in db.scalars(query, execution_options={"yield_per": _LISTS_AT_ONCE}):
            found[row.node_id] = row
            size += len(row.payload)
            if most is not None and size > most:
                raise RemoteProtocolError(
                    "One answer cannot hold everything that was requested at once."
                )
    return found


class StoredList(NamedTuple):
    """The newest member list of a node, without its content."""

    node_id: bytes
    version: int
    hash: bytes
    next_lineage: bytes


_HELD = (
    select(*(_LISTS.c[name] for name in StoredList._fields))
    .where(_LISTS.c.node_id.in_(SOME))
    .order_by(_LISTS.c.node_id)
    .with_for_update()
)


def lists_for_update(db: Db, nodes: Iterable[bytes]) -> dict[bytes, StoredList]:
    """Return nodes' lists, held against other writers until the end of the transaction."""
    rows = of_some(db, _HELD, sorted(nodes))
    return {row[0]: StoredList._make(row) for row in rows}


class Holder(NamedTuple):
    """A user in a new member list."""

    user_id: int
    disabled: bool
    expires_ms: int | None
    """From when on the account is not let in; None: never."""
    bundle: bytes | None
    """The payload of their bundle; None if they have not enrolled."""


def holders(db: Db, names: Sequence[str]) -> dict[str, Holder]:
    """Return the users of those names, with their newest bundles."""
    newest = (
        select(Bundle.user_id, func.max(Bundle.version).label("version"))
        .group_by(Bundle.user_id)
        .subquery()
    )
    rows = db.execute(
        select(User.name, User.id, User.disabled, User.expires_ms, Bundle.payload)
        .outerjoin(newest, newest.c.user_id == User.id)
        .outerjoin(Bundle, (Bundle.user_id == User.id) & (Bundle.version == newest.c.version))
        .where(User.name.in_(names))
    )
    return {row[0]: Holder(row[1], row[2], row[3], row[4]) for row in rows}


def grants(db: Db, node: bytes) -> dict[int, Grant]:
    """Return the grants on a node, by user id."""
    return {one.user_id: one for one in db.scalars(select(Grant).where(Grant.node_id == node))}


def put_list(db: Db, members: VerifiedMembers) -> None:
    """Store a node's list in place of the one before."""
    row = MemberList(
        node_id=members.body.node,
        version=members.body.version,
        hash=members.hash,
        next_lineage=members.point.next_lineage,
        payload=members.signed.payload,
        signature=members.signed.signature,
    )
    db.merge(row)


def drop_grants(db: Db, node: bytes, user_ids: Sequence[int]) -> None:
    """Delete the grants of users on a node."""
    if user_ids:
        db.execute(delete(Grant).where(Grant.node_id == node, Grant.user_id.in_(user_ids)))


def drop_grants_to(db: Db, user_id: int) -> None:
    """Delete all grants of a user."""
    db.execute(delete(Grant).where(Grant.user_id == user_id))


_PAGE = 32
"""Shares that are read at a time; the member list of one has up to 200 KiB."""


def given_by(db: Db, user_id: int, owner_id: int) -> Sequence[bytes]:
    """Return the nodes of an owner on which a user has a grant."""
    hers = select(Node.id).where(Node.owner_id == owner_id)
    mine = select(Grant.node_id).where(Grant.user_id == user_id, Grant.node_id.in_(hers))
    return db.scalars(mine).all()


def drop_grants_of(db: Db, user_id: int, owner_id: int) -> int:
    """Delete all grants of a user on the nodes of an owner; return their number."""
    given = given_by(db, user_id, owner_id)
    for some in helpings(given):
        gone = delete(Grant).where(Grant.user_id == user_id, Grant.node_id.in_(some))
        db.execute(gone, execution_options={"synchronize_session": False})
    return len(given)


def offers(db: Db, user_id: int, owner_id: int) -> int:
    """Return the number of grants of a user on the nodes of an owner."""
    count = select(func.count()).select_from(Grant).join(Node, Node.id == Grant.node_id)
    return db.scalar(count.where(Grant.user_id == user_id, Node.owner_id == owner_id)) or 0


def count_to(db: Db, user_id: int) -> int:
    """Return how many nodes others share with a user."""
    asked = select(func.count()).select_from(Grant).where(Grant.user_id == user_id)
    return db.scalar(asked) or 0


def block(db: Db, user_id: int, owner_id: int, now_ms: int) -> None:
    """Record that a user refuses the shares of an owner; harmless if it is recorded already."""
    if not is_blocked(db, user_id, owner_id):
        db.add(BlockedOwner(user_id=user_id, owner_id=owner_id, since_ms=now_ms))
        db.flush()


def unblock(db: Db, user_id: int, owner_id: int) -> None:
    """Forget that a user refuses the shares of an owner."""
    both = (BlockedOwner.user_id == user_id, BlockedOwner.owner_id == owner_id)
    db.execute(delete(BlockedOwner).where(*both))


def is_blocked(db: Db, user_id: int, owner_id: int) -> bool:
    """Return whether a user refuses the shares of an owner."""
    return db.get(BlockedOwner, (user_id, owner_id)) is not None


def blocked(db: Db, user_id: int) -> list[str]:
    """Return the names of the owners whose shares a user refuses, sorted."""
    query = select(User.name).join(BlockedOwner, BlockedOwner.owner_id == User.id)
    return list(db.scalars(query.where(BlockedOwner.user_id == user_id).order_by(User.name)))


class Given(NamedTuple):
    """A grant, with the data that the member needs to open it."""

    node: bytes
    owner: str
    members: Signed
    sealed: bytes
    manifest: Signed


def given_to(
    db: Db, user_id: int, owner: str, after: Given | None = None, most: int = 0
) -> list[Given]:
    """Return some of the grants to a user from `owner`, or (if empty) from all owners.

    They come by owner and node, of each owner the first `most` (0: all); there are none after the
    last one.
    """
    query = (
        select(Node.id, User.name, MemberList, Grant.sealed, Manifest)
        .select_from(Grant)
        .join(MemberList, MemberList.node_id == Grant.node_id)
        .join(Node, Node.id == Grant.node_id)
        .join(Manifest, (Manifest.node_id == Node.id) & (Manifest.version == Node.version))
        .join(User, User.id == Node.owner_id)
        .where(Grant.user_id == user_id)
        .order_by(User.name, Node.id)
        .limit(_PAGE)
    )
    if owner:
        query = query.where(User.name == owner)
    if most:
        number = func.row_number().over(partition_by=Node.owner_id, order_by=Node.id)
        mine = select(Grant.node_id, number.label("number")).join(Node, Node.id == Grant.node_id)
        first = mine.where(Grant.user_id == user_id).subquery()
        query = query.join(first, first.c.node_id == Node.id).where(first.c.number <= most)
    if after is not None:
        query = query.where(tuple_(User.name, Node.id) > (after.owner, after.node))
    return [
        Given(node, name, _signed(members), sealed, _signed(manifest))
        for node, name, members, sealed, manifest in db.execute(query)
    ]


def has_any(db: Db, user_id: int) -> bool:
    """Return whether anything is shared with a user."""
    return db.scalar(select(Grant.node_id).where(Grant.user_id == user_id).limit(1)) is not None


def owned_by(db: Db, user_id: int, after: bytes = b"") -> list[MemberList]:
    """Return member lists of nodes that a user shares, by node; none after the last one."""
    query = select(MemberList).join(Node, Node.id == MemberList.node_id)
    there = (Node.owner_id == user_id) & Node.removed_ms.is_(None) & (Node.id > after)
    return list(db.scalars(query.where(there).order_by(Node.id).limit(_PAGE)))


def extent(db: Db, user_id: int) -> tuple[int, int]:
    """Return how many nodes a user shares, and with how many users."""
    there = (Node.owner_id == user_id) & Node.removed_ms.is_(None)
    counted = select(
        func.count(Grant.node_id.distinct()), func.count(Grant.user_id.distinct())
    ).join(Node, Node.id == Grant.node_id)
    things, people = db.execute(counted.where(there)).one()
    return things, people


def holders_of(db: Db, node: bytes) -> set[str]:
    """Return the names of the users who hold a grant on a node."""
    query = select(User.name).join(Grant, Grant.user_id == User.id).where(Grant.node_id == node)
    return set(db.scalars(query))


def _signed(row: MemberList | Manifest) -> Signed:
    return Signed(row.payload, row.signature)
