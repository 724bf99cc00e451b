"""Reading the key log, and the bundles that it names.

The log's head comes with `Welcome`; who has read less than it says asks for the rest.
"""

from __future__ import annotations

from fsproto.messages.base import Message
from fsproto.signed import Signed


class GetLog(Message, frozen=True):
    """Ask for the entries from number `first` on; answered by `LogEntries`."""

    first: int


class LogEntries(Message, frozen=True):
    """Some entries, not necessarily up to the head, and the head as it is now."""

    entries: list[bytes]
    head: Signed


class GetBundle(Message, frozen=True):
    """Ask for somebody's public keys; answered by `BundleOf`."""

    user: str


class BundleOf(Message, frozen=True):
    """Somebody's current bundle."""

    bundle: Signed


class Rotate(Message, frozen=True):
    """Replace one's own keys; answered by `Done`.

    `signature` is the old key's word for the new bundle, `root` the root grant sealed to it. The
    sessions of the old key end, but for this one.
    """

    bundle: Signed
    signature: bytes
    root: Signed
