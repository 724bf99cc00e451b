"""Sharing: member lists, what is shared with whom, and who is in a group."""

from __future__ import annotations

from fsproto.messages.base import Message
from fsproto.packing import Record
from fsproto.signed import Signed
from fsproto.types import NodeId, Token


class SealedKey(Record, frozen=True):
    """A node's key, sealed to one member of its list."""

    user: str
    sealed: bytes


class NewMembers(Record, frozen=True):
    """The next member list of a node, and the sealed keys in it that are new."""

    members: Signed
    sealed: list[SealedKey]


class GetMembers(Message, frozen=True):
    """Ask for the member lists of some nodes; answered by `Members`."""

    nodes: list[NodeId]


class Members(Message, frozen=True):
    """The lists of those of the nodes that have one, in the order asked."""

    lists: list[Signed]


class GetShares(Message, frozen=True):
    """Ask what `owner` shares with oneself (empty: what anybody does); answered by `Shares`."""

    owner: str


class Share(Record, frozen=True):
    """A node that is shared with whoever asks."""

    owner: str
    members: Signed
    sealed: bytes
    manifest: Signed


class Shares(Message, frozen=True):
    """What is shared with oneself; `more` says that another `Shares` follows."""

    shares: list[Share]
    more: bool


class GetShared(Message, frozen=True):
    """Ask what one shares with others; answered by `Shared`."""


class Own(Record, frozen=True):
    """A node of one's own that is shared."""

    members: Signed
    tokens: list[Token]
    """The way to it from the root, to be looked up one by one."""
    left: list[str]
    """Members who have left, as the server says."""


class Shared(Message, frozen=True):
    """What one shares with others; `more` says that another `Shared` follows."""

    shared: list[Own]
    more: bool


class Leave(Message, frozen=True):
    """Have nothing to do any more with a node somebody shares; answered by `Done`."""

    node: NodeId


class GetGroup(Message, frozen=True):
    """Ask who is in a group that the administrator made; answered by `Group`."""

    name: str


class Group(Message, frozen=True):
    """Who is in it now, by name. It opens nothing: whom to seal to is for people to say."""

    members: list[str]
