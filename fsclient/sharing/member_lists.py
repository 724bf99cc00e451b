"""The next version of one member list: its members, their roles, and the former writers.

A member has a share alone, through groups, or both. Each of these ways has its own role; the
highest role counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fsclient.sharing.own_shares import OwnShare, OwnShares
from fsclient.tree.nodes import TreeNode
from fsproto.errors import NotAllowedError
from fsproto.keys.grants import Role
from fsproto.keys.identity import VerifiedBundle
from fsproto.keys.member_list import ALONE, FormerWriter, MemberOrigin, VerifiedMembers
from fsproto.limits import MAX_GROUP
from fsproto.types import NodeId

Ways = dict[str, dict[str, Role]]
"""For each member the role of each way: a group name, or `ALONE`."""


@dataclass
class ListRevision:
    """A node whose member list is about to be signed again."""

    found: TreeNode
    before: VerifiedMembers | None
    ways: Ways
    bundles: dict[str, VerifiedBundle] = field(default_factory=dict)
    above: dict[str, bytes] = field(default_factory=dict)
    heirs: set[tuple[str, bytes]] = field(default_factory=set)
    """Present and former writers by the lists above, counted where the node had no list itself."""
    left: frozenset[str] = frozenset()
    """Members who have left since the list before; one of them in `ways` is added again."""
    signed: VerifiedMembers | None = None

    @property
    def node(self) -> NodeId:
        """The node that the list belongs to."""
        return self.found.keyed.node

    @property
    def roles(self) -> dict[str, Role]:
        """The role of each member in the new list."""
        return {user: max(ways.values()) for user, ways in self.ways.items()}

    @property
    def writers(self) -> set[tuple[str, bytes]]:
        """The writers by the new list, and by lists above, each with the signing key."""
        roles = self.roles.items()
        mine = {(user, self.bundles[user].body.ed25519) for user, r in roles if r is Role.WRITER}
        return mine | set(self.above.items())

    @property
    def loses(self) -> bool:
        """Return whether anyone loses read or write access by the new list."""
        if self.before is None:
            return bool(self.heirs - self.writers)
        body, roles = self.before.body, self.roles
        gone = any(one.user not in roles or roles[one.user] < one.role for one in body.members)
        return gone or bool({one.user for one in body.above} - {user for user, _ in self.writers})

    @property
    def has_others_above(self) -> bool:
        """Return whether the writers by lists above differ from those that the old list names."""
        named = self.before.body.above if self.before is not None else []
        return {(one.user, one.ed25519) for one in named} != set(self.above.items())


def former_writers(
    revision: ListRevision, generation: int, ended: Iterable[tuple[str, bytes]]
) -> list[FormerWriter]:
    """Return the former writers, each with the last key generation that they could write under.

    A writer who loses access now is entered with the generation before `generation`, and so are
    the owner's own keys that have `ended`.
    """
    before, former = revision.before, dict[tuple[str, bytes], int]()
    were, renewed = revision.heirs, generation > 1
    if before is not None:
        body = before.body
        were = {(one.user, one.ed25519) for one in body.members if one.role is Role.WRITER}
        were |= {(one.user, one.ed25519) for one in body.above}
        former = {(one.user, one.ed25519): one.generation for one in body.former}
        renewed = generation > body.generation
    if renewed:
        former |= dict.fromkeys(were - revision.writers, generation - 1)
        former = dict.fromkeys(ended, generation - 1) | former
    return [FormerWriter(user, key, until) for (user, key), until in sorted(former.items())]


def ways_by_groups(revision: ListRevision) -> list[MemberOrigin]:
    """Return the ways of each member with a way through a group."""
    return [
        MemberOrigin(user, way, role)
        for user, ways in revision.ways.items()
        for way, role in sorted(ways.items())
        if ways.keys() != {ALONE}
    ]


def missing_grants(
    share: OwnShare | None, bundles: Mapping[str, VerifiedBundle], way: str, role: Role
) -> list[str]:
    """Return the users who lack this way, this role, or a key sealed to this bundle."""
    ways = share.ways if share else {}
    listed = share.members.body.members if share else []
    keys = {one.user: one.bundle for one in listed}
    return [
        user
        for user, bundle in bundles.items()
        if (ways.get(user, {}).get(way), keys.get(user)) != (role, bundle.hash)
    ]


def check_room(found: TreeNode, share: OwnShare | None, users: Iterable[str]) -> None:
    """Raise `NotAllowedError` if a share would have too many members with these users.

    To remove a member, one commit must hold the new key sealed to all remaining members.
    """
    together = {*users, *(share.roles if share else ())}
    if len(together) > MAX_GROUP:
        raise NotAllowedError(
            f"'{found.path}' would be shared with {len(together)} people; {MAX_GROUP} is the most.",
            hint="Share folders in it one by one, with fewer people each.",
        )


def inherited_writers(found: TreeNode, own: OwnShares) -> set[tuple[str, bytes]]:
    """Return the present and former writers of a node by the lists above it."""
    heirs = set[tuple[str, bytes]]()
    for body in (share.members.body for share in own.above(found)):
        heirs |= {(one.user, one.ed25519) for one in body.members if one.role is Role.WRITER}
        heirs |= {(one.user, one.ed25519) for one in body.above}
        heirs |= {(one.user, one.ed25519) for one in body.former}
    return heirs
