"""Messages to read the key log and bundles, and to rotate keys.

`Welcome` contains the head of the log. A client that has read fewer entries asks for the rest.
"""

from __future__ import annotations

from fsproto.messages.account import TreeRoot
from fsproto.messages.base import Message
from fsproto.signed import Signed


class GetLog(Message, frozen=True):
    """Ask for the entries from number `first` on; answered by `LogEntries`."""

    first: int


class LogEntries(Message, frozen=True):
    """Some entries, not necessarily up to the head, and the current head."""

    entries: list[bytes]
    head: Signed


class GetBundle(Message, frozen=True):
    """Ask for a user's public keys; answered by `BundleOf`."""

    user: str


class BundleOf(Message, frozen=True):
    """The current bundle of the requested user."""

    bundle: Signed


class Rotate(Message, frozen=True):
    """Replace the user's own keys, and the key of their root; answered by `Done`.

    The server ends all other sessions of the user.
    """

    otp: str
    bundle: Signed
    signature: bytes
    """The old key's signature over the hashes of the old and the new bundle, 64 bytes."""
    tree: TreeRoot
    """The root under a key of the next generation, signed by the new key: the grant, the next
    manifest, and the next state with the same entries."""
