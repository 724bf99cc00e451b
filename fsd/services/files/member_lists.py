"""Checks and storage of the member lists in a commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session as Db

from fsd.principal import Principal
from fsd.store import models
from fsd.store.repos import lineages, logins, shares, users
from fsd.store.repos.nodes import StoredNode
from fsd.store.repos.shares import Holder
from fsproto import labels
from fsproto.errors import (
    ConflictError,
    NotAllowedError,
    NotFoundError,
    QuotaError,
    RemoteProtocolError,
)
from fsproto.keys.member_list import (
    ALONE,
    Member,
    VerifiedMembers,
    sealed_hash,
    stated_members,
    verify_members,
)
from fsproto.limits import MAX_COMMIT_NODES
from fsproto.messages.history import Lineal
from fsproto.messages.shares import NewMembers
from fsproto.proofs.lineage import NO_LINEAGE
from fsproto.signed import Signed, payload_hash
from fsproto.types import NodeId


@dataclass(frozen=True)
class NextList:
    """The next member list of a node, with a verified signature, and the keys sent with it."""

    members: VerifiedMembers
    sealed: dict[str, bytes]
    """The node's key, sealed; by the member's name."""
    again: frozenset[str]
    """Members that the owner adds again after they have left."""


def verified_lists(who: Principal, asks: list[NewMembers]) -> dict[NodeId, NextList]:
    """Check lists without the database; `SignatureError` or `RemoteProtocolError` if one is bad."""
    if len(asks) > MAX_COMMIT_NODES:
        raise RemoteProtocolError("The commit changes too much at once.")
    found = {}
    for ask in asks:
        node = stated_members(ask.members).node
        members = verify_members(ask.members, node, who.user, who.ed25519)
        sealed = {one.user: one.sealed for one in ask.sealed}
        if len(sealed) != len(ask.sealed) or any(members.member(user) is None for user in sealed):
            raise RemoteProtocolError("A key was sealed to a person outside the member list.")
        found[node] = NextList(members, sealed, frozenset(ask.again))
    if len(found) != len(asks):
        raise RemoteProtocolError("A commit has two member lists of one node.")
    return found


def check_lists(
    db: Db,
    who: Principal,
    lists: Mapping[NodeId, NextList],
    before: Mapping[bytes, StoredNode],
    generations: Mapping[NodeId, int],
) -> None:
    """Check that lists are of the owner's nodes and follow those that are there.

    `generations` has the key generation of each node after the commit.
    """
    stored = shares.lists_for_update(db, lists)
    for node, new in lists.items():
        body, row = new.members.body, before.get(node)
        if row is None or row.owner_id != who.user_id:
            raise NotFoundError("There is no such file or folder.")
        if row.parent_id is None and row.removed_from is None:
            raise NotAllowedError("The top of a tree cannot be shared; share a folder in it.")
        was = stored.get(node)
        follows = (was.version, was.next_lineage) if was else (0, NO_LINEAGE)
        if (body.version - 1, body.lineage) != follows:
            raise ConflictError("It was shared in another way in the meantime; try again.")
        if body.generation != generations[node]:
            raise ConflictError("It took a new key in the meantime; try again.")
    lineages.keep(db, Lineal.LIST, [row[:3] for row in stored.values()])


def store_list(
    db: Db, who: Principal, new: NextList, now_ms: int, most_offers: int
) -> dict[str, int]:
    """Store a list and the keys sent with it; delete the grants of removed members.

    Return the members who could not open the node before: their ids by name.

    `QuotaError` if a member gets more than `most_offers` shares of the user, `NotAllowedError` if
    a member blocks the user and is in the list by name, not only through a group, `ConflictError`
    if a member has left and the user does not know it.
    """
    body = new.members.body
    people = shares.holders(db, [member.user for member in body.members])
    held, added = shares.grants(db, body.node), dict[str, int]()
    _check_left(db, new, people, held)
    for member in body.members:
        holder = _checked_holder(who, member, people.get(member.user))
        grant = held.pop(holder.user_id, None)
        sealed = new.sealed.get(member.user)
        if sealed is not None and sealed_hash(sealed) == member.sealed:
            _check_can_open(member, holder)
            if grant is None:
                _check_is_in(member, holder, now_ms)
                if shares.is_blocked(db, holder.user_id, who.user_id):
                    _check_by_group(new, member)
                    continue
                _check_offers(db, who, member, holder, most_offers)
            if grant is None:
                grant = models.Grant(node_id=body.node, user_id=holder.user_id)
                db.add(grant)
                added[member.user] = holder.user_id
            grant.sealed_hash, grant.sealed = member.sealed, sealed
        elif grant is None or grant.sealed_hash != member.sealed:
            raise RemoteProtocolError(
                "A member list names a sealed key that is missing in the commit."
            )
        grant.role = int(member.role)
    shares.drop_grants(db, body.node, list(held))
    shares.put_list(db, new.members)
    db.flush()
    return added


def notify_members(db: Db, who: Principal, added: Mapping[str, int], now_ms: int) -> None:
    """Leave a notice for users that something was shared with them; ids by name.

    The order of the names is the order of the locks.
    """
    for name, user_id in sorted(added.items()):
        logins.hold(db, name)
        logins.notify(db, user_id, logins.SHARED, now_ms, who.user)


def _check_left(
    db: Db, new: NextList, people: Mapping[str, Holder], held: Mapping[int, models.Grant]
) -> None:
    """Refuse a list that names a member who has left, unless the owner adds this member again."""
    node = new.members.body.node
    without = {user for user, holder in people.items() if holder.user_id not in held} - new.again
    before = shares.lists(db, [node]).get(node) if without else None
    if before is None:
        return
    named = stated_members(Signed(before.payload, before.signature)).members
    for member in named:
        if member.user in without:
            raise ConflictError(f"{member.user} has left it in the meantime; try again.")


def _checked_holder(who: Principal, member: Member, holder: Holder | None) -> Holder:
    if holder is None:
        raise NotFoundError(f"There is no user {member.user} any more.")
    if holder.user_id == who.user_id:
        raise RemoteProtocolError("The owner of a node cannot be its member.")
    return holder


def _check_can_open(member: Member, holder: Holder) -> None:
    """Refuse a node key that is sealed to keys other than the member's current ones."""
    if holder.bundle is None:
        raise NotFoundError(f"{member.user} has not enrolled yet.")
    if payload_hash(labels.HASH_BUNDLE, holder.bundle) != member.bundle:
        raise ConflictError(f"{member.user} has other keys now; try again.")


def _check_by_group(new: NextList, member: Member) -> None:
    """Refuse a share with a user who blocks the owner.

    A share with a group succeeds, as if this user had left it at once: one member of a group cannot
    prevent a share with the others.
    """
    if ALONE in new.members.ways(member.user):
        raise NotAllowedError(f"{member.user} does not accept shares from you.")


def _check_offers(db: Db, who: Principal, member: Member, holder: Holder, most: int) -> None:
    """Refuse a new grant to a user at the limit of grants from this owner."""
    db.flush()
    if shares.offers(db, holder.user_id, who.user_id) >= most:
        raise QuotaError(
            f"You share {most} files and folders with {member.user}; that is the limit.",
            hint="Share a folder that contains them.",
        )


def _check_is_in(member: Member, holder: Holder, now_ms: int) -> None:
    """Refuse a new grant to a disabled or expired account."""
    if holder.disabled:
        raise NotAllowedError(f"The account of {member.user} is disabled.")
    if users.is_expired(holder.expires_ms, now_ms):
        raise NotAllowedError(f"The account of {member.user} has expired.")
