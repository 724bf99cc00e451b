"""Messages about sharing: member lists, shared nodes, and the members of a group."""

from __future__ import annotations

from fsproto.messages.base import Message
from fsproto.packing import Record
from fsproto.ranges import Items, People, Refused, Way
from fsproto.signed import Signed
from fsproto.types import NodeId, Token


class SealedKey(Record, frozen=True):
    """A node's key, sealed to one member of its list."""

    user: str
    sealed: bytes


class NewMembers(Record, frozen=True):
    """The next member list of a node, and the new sealed keys that it names."""

    members: Signed
    sealed: Items[SealedKey]
    again: People[str]
    """Members that the owner adds again, knowing that they have left since the list before."""


class GetMembers(Message, frozen=True):
    """Ask for the member lists of some nodes; answered by `Members`."""

    nodes: Items[NodeId]


class Members(Message, frozen=True):
    """The member lists of the nodes that have one, in the requested order."""

    lists: Items[Signed]


class GetShares(Message, frozen=True):
    """Ask for the nodes that `owner` (empty: any user) shares with the user; see `Shares`."""

    owner: str
    most: int
    """Of each owner, at most this many; 0: all."""


class Share(Record, frozen=True):
    """A node that is shared with the user who sent the request."""

    owner: str
    members: Signed
    sealed: bytes
    manifest: Signed


class Shares(Message, frozen=True):
    """The nodes that are shared with the user; `more`: another `Shares` follows."""

    shares: Items[Share]
    more: bool


class GetShared(Message, frozen=True):
    """Ask for the nodes that the user shares with others; answered by `Shared`."""


class Own(Record, frozen=True):
    """A node that the user shares with others."""

    members: Signed
    tokens: Way[Token]
    """The path from the root to the node, one token per name."""
    left: People[str]
    """Members who have left, according to the server."""


class Shared(Message, frozen=True):
    """The nodes that the user shares with others; `more`: another `Shared` follows."""

    shared: Items[Own]
    more: bool


class Leave(Message, frozen=True):
    """Leave a node that another user shares; answered by `Done`."""

    node: NodeId


class Block(Message, frozen=True):
    """Refuse all shares of another user, or accept new ones again; answered by `Done`.

    `blocked`: the user leaves all that `owner` shares with them, and `owner` can share no more.
    """

    owner: str
    blocked: bool


class GetBlocked(Message, frozen=True):
    """Ask for the users whose shares the user refuses; answered by `Blocked`."""


class Blocked(Message, frozen=True):
    """The users whose shares the user refuses, sorted; at most 1,000."""

    owners: Refused[str]


class GetGroup(Message, frozen=True):
    """Ask for the members of an administrator's group; answered by `Group`."""

    name: str


class Group(Message, frozen=True):
    """The current members by name. This grants no access: the owner confirms each member."""

    members: People[str]
