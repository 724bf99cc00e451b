"""The drop box: what waits for a person, and that it need wait no longer.

A drop's content comes as a node's does: by a `Download` that names the drop in the node's place.
"""

from __future__ import annotations

from fsproto.drop import Drop
from fsproto.messages.base import Message
from fsproto.types import DropId


class GetDrops(Message, frozen=True):
    """Ask what was dropped for oneself and waits; answered by `Drops`."""


class Drops(Message, frozen=True):
    """What waits, the oldest first; with `more` another one follows."""

    drops: list[Drop]
    more: bool


class RemoveDrops(Message, frozen=True):
    """Delete drops for oneself, accepted or unwanted; what is not there is no error."""

    drops: list[DropId]
