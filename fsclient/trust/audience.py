"""The readers and writers of a folder, by the member lists on the way to it."""

from __future__ import annotations

from collections.abc import Mapping

from fsproto.keys.grants import Role
from fsproto.keys.member_list import VerifiedMembers
from fsproto.types import NodeId
from fsproto.values import Value


class Audience(Value, frozen=True):
    """Who sees a folder, and who writes there or did so once, by the lists on the way to it."""

    lists: frozenset[NodeId]
    """The nodes that have one."""
    readers: frozenset[str]
    writers: frozenset[str]

    @classmethod
    def of(cls, lists: Mapping[NodeId, VerifiedMembers | None]) -> Audience:
        """Return the members on the lists of some nodes."""
        bodies = {node: found.body for node, found in lists.items() if found is not None}
        members = [one for body in bodies.values() for one in body.members]
        writers = {one.user for one in members if one.role is Role.WRITER}
        for body in bodies.values():
            writers |= {one.user for one in body.above}
            writers |= {one.user for one in body.former if one.user != body.owner}
        return cls(frozenset(bodies), frozenset(one.user for one in members), frozenset(writers))

    def loses(self, other: Audience) -> bool:
        """Return whether a move from here to there takes read or write access from a person."""
        return bool(self.readers - other.readers or self.writers - other.writers)
