"""Messages to read the key log and bundles, and to rotate keys.

`Welcome` contains the head of the log. A client that has read fewer entries asks for the rest.
"""

from __future__ import annotations

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
    """Replace the user's own keys; answered by `Done`.

    `signature` is the old key's signature over the new bundle, `root` the root grant sealed to the
    new bundle. The server ends all other sessions of the old key.
    """

    bundle: Signed
    signature: bytes
    root: Signed
