"""One member list that is about to be signed anew: who comes to be on it, how, and who was before.

Members come by themselves or by groups, each way with a role of its own; the best of them counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fsclient.sharing.own_shares import OwnShare, is_below
from fsclient.tree.nodes import TreeNode
from fsproto.errors import NotAllowedError
from fsproto.keys.grants import Role
from fsproto.keys.identity import VerifiedBundle
from fsproto.keys.member_list import ALONE, FormerWriter, MemberOrigin, VerifiedMembers
from fsproto.limits import MAX_GROUP
from fsproto.types import NodeId

Ways = dict[str, dict[str, Role]]
"""For each member how they came, and as what: by the group, or `ALONE`."""


@dataclass
class ListRevision:
    """One node whose list is to be signed anew."""

    found: TreeNode
    before: VerifiedMembers | None
    ways: Ways
    bundles: dict[str, VerifiedBundle] = field(default_factory=dict)
    above: dict[str, bytes] = field(default_factory=dict)
    heirs: set[tuple[str, bytes]] = field(default_factory=set)
    """Who could write there because of lists above it, where it had none of its own."""
    signed: VerifiedMembers | None = None

    @property
    def node(self) -> NodeId:
        """Whose list it is."""
        return self.found.keyed.node

    @property
    def roles(self) -> dict[str, Role]:
        """Who may do what from now on."""
        return {user: max(ways.values()) for user, ways in self.ways.items()}

    @property
    def writers(self) -> set[tuple[str, bytes]]:
        """Who may write there from now on, with which key."""
        roles = self.roles.items()
        mine = {(user, self.bundles[user].body.ed25519) for user, r in roles if r is Role.WRITER}
        return mine | set(self.above.items())

    @property
    def loses(self) -> bool:
        """Tell whether somebody is to see it no more, or may write there no more."""
        if self.before is None:
            return bool(self.heirs - self.writers)
        body, roles = self.before.body, self.roles
        gone = any(one.user not in roles or roles[one.user] < one.role for one in body.members)
        return gone or bool({one.user for one in body.above} - {user for user, _ in self.writers})

    @property
    def has_others_above(self) -> bool:
        """Tell whether others may write there because of lists above than its list says."""
        named = self.before.body.above if self.before is not None else []
        return {(one.user, one.ed25519) for one in named} != set(self.above.items())


def former_writers(revision: ListRevision, generation: int) -> list[FormerWriter]:
    """Return who could write once; those who could until now could so until the key before."""
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
    return [FormerWriter(user, key, until) for (user, key), until in sorted(former.items())]


def ways_by_groups(revision: ListRevision) -> list[MemberOrigin]:
    """Return every way of whoever came by a group."""
    return [
        MemberOrigin(user, way, role)
        for user, ways in revision.ways.items()
        for way, role in sorted(ways.items())
        if ways.keys() != {ALONE}
    ]


def not_given(
    share: OwnShare | None, bundles: Mapping[str, VerifiedBundle], way: str, role: Role
) -> list[str]:
    """Return those of some people who do not have a share in just that way, under those keys."""
    ways = share.ways if share else {}
    listed = share.members.body.members if share else []
    keys = {one.user: one.bundle for one in listed}
    return [
        user
        for user, bundle in bundles.items()
        if (ways.get(user, {}).get(way), keys.get(user)) != (role, bundle.hash)
    ]


def check_room(found: TreeNode, share: OwnShare | None, users: Iterable[str]) -> None:
    """Raise `NotAllowedError` where too many would have a share if some people got it, too.

    One commit could not hold the key sealed anew to all of them, and so nobody could be removed.
    """
    together = {*users, *(share.roles if share else ())}
    if len(together) > MAX_GROUP:
        raise NotAllowedError(
            f"'{found.path}' would be shared with {len(together)} people; {MAX_GROUP} is the most.",
            hint="Share folders in it one by one, with fewer people each.",
        )


def heirs_of(found: TreeNode, shares: list[OwnShare]) -> set[tuple[str, bytes]]:
    """Return who may write to a node, or could once, because of the lists above it."""
    heirs = set[tuple[str, bytes]]()
    for body in (share.members.body for share in shares if is_below(found, share.found)):
        heirs |= {(one.user, one.ed25519) for one in body.members if one.role is Role.WRITER}
        heirs |= {(one.user, one.ed25519) for one in body.above}
        heirs |= {(one.user, one.ed25519) for one in body.former}
    return heirs
