"""Member lists: the people with whom a node is shared, signed as a whole by its owner.

    MemberList = [format, node, version, lineage, generation, owner, owner_key,
                  members: [Member], above: [Writer], former: [Former], time_ms, log_head]
                 in format 1; in format 2, came: [Came] follows
    Member     = [user, role (2 reader, 3 writer), Ed25519 key, hash of the bundle,
                  hash of the sealed node key]
    Writer     = [user, Ed25519 key]
    Former     = [user, Ed25519 key, generation]
    Came       = [user, group, role]

`above` names people who may write here because they may write to a folder that contains this node.
A member of this node alone cannot see the lists of those folders, so the names are repeated here.
`former` names former writers, each with the last generation of this node's key under which their
changes are valid. Every list is bound to one generation: the author of a change must have been a
writer under the generation of that change. `came` names the members whom the owner added through a
group, with the group and the role. Only the owner's client uses it, to remove them with the group.

The node's key sealed to a member (`grants.wrap`) is sent separately from the list, only to that
member; the list contains its hash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsproto import crypto, labels
from fsproto.errors import IntegrityError, RemoteProtocolError, SignatureError
from fsproto.keys.grants import Role, unwrap
from fsproto.limits import LOG_HEAD_SIZE, MAX_CAME, MAX_MEMBERS
from fsproto.names import is_user
from fsproto.packing import Record, unpack
from fsproto.proofs.lineage import LineagePoint
from fsproto.ranges import Generation, Uint63, Version
from fsproto.signed import Signed, open_signed, payload_hash, sign
from fsproto.types import NO_NODE, Hash, NodeId
from fsproto.values import Value

if TYPE_CHECKING:
    from fsproto.keys.identity import Identity
    from fsproto.keys.tree import KeyedNode

FORMAT = 1
FORMAT_WITH_GROUPS = 2
_BEGINS_GROUPED = b"\x9d"
"""The first byte of a msgpack array of 13: one element more than a list of format 1 has."""
ALONE = ""
"""The group name for a member without a group: the owner has added it by name."""


class Member(Record, frozen=True):
    """One person with whom a node is shared."""

    user: str
    role: Role
    ed25519: bytes
    """The person's identity key, 32 bytes."""
    bundle: Hash
    """Hash of the bundle to which the node's key was sealed."""
    sealed: Hash
    """Hash of the node's key sealed to the person."""


class InheritedWriter(Record, frozen=True):
    """A writer from the member list of a parent folder."""

    user: str
    ed25519: bytes


class FormerWriter(Record, frozen=True):
    """A person whose role as a writer here has ended."""

    user: str
    ed25519: bytes
    generation: Generation
    """The last generation under which their changes are valid."""


class MemberOrigin(Record, frozen=True):
    """How a member was added: through a group, or (`ALONE`) also by name."""

    user: str
    group: str
    role: Role


class MemberList(Record, frozen=True):
    """The members of a node, as its owner signed them."""

    format: int
    """1; 2 if a member was added through a group."""
    node: NodeId
    version: Version
    """1, 2, 3 … without a gap."""
    lineage: Hash
    """Commits to all lists before (`proofs.lineage`); 32 zero bytes for the first."""
    generation: Generation
    """Generation of the node's key that was sealed to the members."""
    owner: str
    owner_key: bytes
    """The owner's Ed25519 public key, 32 bytes."""
    members: list[Member]
    above: list[InheritedWriter]
    former: list[FormerWriter]
    time_ms: Uint63
    log_head: bytes
    """Size and root of the key log the owner had seen: u64 ‖ 32 bytes; empty if none."""

    @property
    def came(self) -> list[MemberOrigin]:
        """How members were added; empty if no member was added through a group."""
        return []


class GroupedList(MemberList, frozen=True):
    """A member list with members that were added through a group."""

    came: list[MemberOrigin]
    """The origins of members added through a group; the other members were added by name."""


class VerifiedMembers(Value, frozen=True):
    """A member list whose signature was checked; made only by the two functions below."""

    body: MemberList
    hash: Hash
    signed: Signed

    @property
    def point(self) -> LineagePoint:
        """This version, as lineages name it."""
        return LineagePoint(self.body.version, self.body.lineage, self.hash)

    def member(self, user: str) -> Member | None:
        """Return a person's entry in the list; None if there is none."""
        return next((one for one in self.body.members if one.user == user), None)

    def ways(self, user: str) -> dict[str, Role]:
        """Return a member's role per group or `ALONE`; empty for people who are not members."""
        ways = {one.group: one.role for one in self.body.came if one.user == user}
        member = self.member(user)
        return ways or ({} if member is None else {ALONE: member.role})

    def all_ways(self) -> dict[str, dict[str, Role]]:
        """Return `ways` of every member, in time that grows with their number only."""
        ways: dict[str, dict[str, Role]] = {one.user: {} for one in self.body.members}
        for came in self.body.came:
            if came.user in ways:
                ways[came.user][came.group] = came.role
        return {one.user: ways[one.user] or {ALONE: one.role} for one in self.body.members}

    def may_write(self, user: str, generation: int) -> list[bytes]:
        """Return the keys with which a person may sign changes under a generation."""
        body = self.body
        keys = [m.ed25519 for m in body.members if m.user == user and m.role is Role.WRITER]
        keys += [one.ed25519 for one in body.above if one.user == user]
        keys += [f.ed25519 for f in body.former if f.user == user and generation <= f.generation]
        return keys

    def lost_at(self, user: str) -> int:
        """Return the first generation under which a former writer may no longer write."""
        return 1 + max((one.generation for one in self.body.former if one.user == user), default=0)

    def open(self, sealed: bytes, reader: Identity) -> KeyedNode:
        """Open the node's key that was sealed to a member; `IntegrityError` for another key.

        The former keys are sealed in the node's manifest (`KeyedNode.with_former`).
        """
        member = self.member(reader.user)
        if member is None:
            raise IntegrityError("The server sent a share whose owner does not name you.")
        if not crypto.equal(crypto.sha256(labels.HASH_SEALED_KEY, sealed), member.sealed):
            raise IntegrityError("The server sent another key than a share's owner has sealed.")
        holder = reader.holding(member.bundle)
        return unwrap(sealed, self.body.node, self.body.generation, member.role, holder)


def sealed_hash(sealed: bytes) -> Hash:
    """Return the hash with which a list names a node's key sealed to a member."""
    return Hash(crypto.sha256(labels.HASH_SEALED_KEY, sealed))


def sign_members(key: crypto.SigningKey, body: MemberList) -> VerifiedMembers:
    """Sign a member list with its owner's key."""
    signed = sign(key, labels.SIGN_MEMBERS, body)
    return VerifiedMembers(body, payload_hash(labels.HASH_MEMBERS, signed.payload), signed)


def verify_members(signed: Signed, node: NodeId, owner: str, public: bytes) -> VerifiedMembers:
    """Check that `owner` signed this list of `node` with `public`; `SignatureError` if not."""
    body = open_signed(signed, _kind(signed.payload), labels.SIGN_MEMBERS, public)
    if (body.owner, body.owner_key, body.node) != (owner, public, node):
        raise SignatureError("A member list belongs to another folder or file.")
    if not _is_well_formed(body) or not _has_good_ways(body):
        raise RemoteProtocolError("A member list is malformed.")
    return VerifiedMembers(body, payload_hash(labels.HASH_MEMBERS, signed.payload), signed)


def stated_members(signed: Signed) -> MemberList:
    """Return the body of a list without verifying its signature; the caller must not trust it."""
    return unpack(signed.payload, _kind(signed.payload))


def _kind(payload: bytes) -> type[MemberList]:
    return GroupedList if payload.startswith(_BEGINS_GROUPED) else MemberList


def _is_well_formed(body: MemberList) -> bool:
    people = [one.user for one in body.members]
    keys = [one.ed25519 for one in body.members]
    keys += [one.ed25519 for one in body.above] + [one.ed25519 for one in body.former]
    hashes = [one.bundle for one in body.members] + [one.sealed for one in body.members]
    return (
        len(body.node) == len(NO_NODE)
        and len(body.lineage) == crypto.HASH_SIZE
        and len(people) == len(set(people)) <= MAX_MEMBERS
        and len({one.user for one in body.above}) == len(body.above)
        and len({(one.user, one.ed25519) for one in body.former}) == len(body.former)
        and max(len(body.above), len(body.former)) <= MAX_MEMBERS
        and all(len(key) == crypto.ED25519_SIZE for key in keys)
        and all(len(one) == crypto.HASH_SIZE for one in hashes)
        and all(one.role is not Role.OWNER for one in body.members)
        and all(1 <= one.generation < body.generation for one in body.former)
        and len(body.log_head) == LOG_HEAD_SIZE
    )


def _has_good_ways(body: MemberList) -> bool:
    """Return whether a list fits its format, and the members' roles match their origins."""
    if not isinstance(body, GroupedList):
        return body.format == FORMAT
    roles = {one.user: one.role for one in body.members}
    ways = [(one.user, one.group) for one in body.came]
    best = dict[str, Role]()
    for one in body.came:
        best[one.user] = max(one.role, best.get(one.user, one.role))
    return (
        body.format == FORMAT_WITH_GROUPS
        and 0 < len(ways) == len(set(ways)) <= MAX_CAME
        and all(roles.get(user) is role for user, role in best.items())
        and all(one.role is not Role.OWNER for one in body.came)
        and best.keys() == {user for user, group in ways if group != ALONE}
        and all(group == ALONE or is_user(group) for _, group in ways)
    )
