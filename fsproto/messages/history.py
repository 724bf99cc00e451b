"""Messages for older versions of a file, and for nodes that were removed from a folder."""

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
    """Older manifests, the newest first, without a gap; `more`: another `History` follows.

    After the last one, the server has no older ones. The content of every listed manifest is
    available.
    """

    manifests: list[Signed]
    more: bool


class GetRemoved(Message, frozen=True):
    """Ask for the removed nodes of a folder that can be restored; answered by `Removed`."""

    folder: NodeId
    skip: int
    """How many of the latest to leave out, because the client has them already."""


class Gone(Record, frozen=True):
    """A removed file or folder.

    `before` is the state of its folder that last had it, `after` the one that followed.
    """

    manifest: Signed
    before: Signed
    before_proof: bytes
    """Proof that the manifest's token names it under `before`."""
    after: Signed
    after_proof: bytes
    """Proof that the token names nothing, or something else, under `after`."""


class Removed(Message, frozen=True):
    """Removed nodes, the latest first; `more`: the client can ask for the rest."""

    gone: list[Gone]
    more: bool
