"""Messages to read the key log and bundles, and to rotate keys.

`Welcome` contains the head of the log. A client that has read fewer entries asks for the rest.
"""

from __future__ import annotations

from fsproto.messages.account import TreeRoot
from fsproto.messages.base import Message
from fsproto.messages.files import Removal
from fsproto.messages.shares import NewMembers
from fsproto.ranges import Items
from fsproto.signed import Signed


class GetLog(Message, frozen=True):
    """Ask for the entries from number `first` on; answered by `LogEntries`."""

    first: int


class LogEntries(Message, frozen=True):
    """Some entries, not necessarily up to the head, and the current head."""

    entries: Items[bytes]
    head: Signed


class GetBundle(Message, frozen=True):
    """Ask for a user's public keys; answered by `BundleOf`."""

    user: str


class BundleOf(Message, frozen=True):
    """The current bundle of the requested user."""

    bundle: Signed


class RotatePart(Message, frozen=True):
    """A part of what the next `Rotate` of this connection renews with the keys; see there.

    All parts together are one change of the user's tree on top of the root in `Rotate`, like a
    `Commit` without content: the next state of every folder in it, the next manifest of every node
    that takes a new key, and the next member list of each of these nodes that is shared. The new
    key signs all of it. Answered by `Done`: the server has received the part, and has not checked
    it.
    """

    states: Items[Signed]
    manifests: Items[Signed]
    removals: Items[Removal]
    members: Items[NewMembers]


class Rotate(Message, frozen=True):
    """Replace the user's own keys, and the key of their root; answered by `Done`.

    The parts that were sent before on this connection are made in the same transaction, or, after
    any failure, not at all; in both cases the server forgets them. The server ends all other
    sessions of the user.
    """

    otp: str
    bundle: Signed
    signature: bytes
    """The old key's signature over the hashes of the old and the new bundle, 64 bytes."""
    tree: TreeRoot
    """The root under a key of the next generation, signed by the new key: the grant, the next
    manifest, and the next state with the same entries."""
