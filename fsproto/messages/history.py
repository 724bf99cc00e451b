"""What was: older versions of a file, and what was removed from a folder."""

from __future__ import annotations

from fsproto.messages.base import Message
from fsproto.packing import Record
from fsproto.signed import Signed
from fsproto.types import NodeId


class GetHistory(Message, frozen=True):
    """Ask for the manifests of a node from before a version; answered by `History`."""

    node: NodeId
    version: int


class History(Message, frozen=True):
    """Older manifests, the newest first, without a gap; `more` says that another one follows.

    Where they end, the server has no older ones. The content that each of them names is there.
    """

    manifests: list[Signed]
    more: bool


class GetRemoved(Message, frozen=True):
    """Ask for what was removed from a folder and can be brought back; answered by `Removed`."""

    folder: NodeId
    skip: int
    """How many of the latest are known already."""


class Gone(Record, frozen=True):
    """A removed file or folder.

    `before` is the state of its folder that last had it, `after` the one that followed.
    """

    manifest: Signed
    before: Signed
    before_proof: bytes
    """That the manifest's token names it under `before`."""
    after: Signed
    after_proof: bytes
    """That the token names nothing, or something else, under `after`."""


class Removed(Message, frozen=True):
    """What was removed, the latest first; `more` says that there is more to be asked for."""

    gone: list[Gone]
    more: bool
