"""Messages of the drop box: list and delete the drops of a user.

A client gets a drop's content as it gets a node's: by a `Download` with the drop's id as the node.
"""

from __future__ import annotations

from fsproto.drop import Drop
from fsproto.messages.base import Message
from fsproto.ranges import Items
from fsproto.types import DropId


class GetDrops(Message, frozen=True):
    """Ask for the drops in the user's own drop box; answered by `Drops`."""


class Drops(Message, frozen=True):
    """The waiting drops, the oldest first; with `more` another `Drops` follows."""

    drops: Items[Drop]
    more: bool


class RemoveDrops(Message, frozen=True):
    """Delete the user's own drops, accepted or unwanted; a missing one is no error."""

    drops: Items[DropId]
