"""Older versions of a file, lineages, and nodes that were removed from a folder."""

from __future__ import annotations

import enum

from fsproto.messages.base import Message
from fsproto.packing import Record
from fsproto.ranges import Items, Version
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

    manifests: Items[Signed]
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

    gone: Items[Gone]
    more: bool


class Forgotten(Record, frozen=True):
    """A removed node, and the version of its newest manifest, as `Removed` showed it."""

    node: NodeId
    version: Version


class Forget(Message, frozen=True):
    """Delete removed nodes of the user's own tree for good; answered by `Done`.

    A missing node is no error. One that has another version, or is not removed, stays.
    """

    nodes: Items[Forgotten]


class Lineal(enum.IntEnum):
    """The three kinds of signed values of a node that have versions."""

    STATE = 1
    MANIFEST = 2
    LIST = 3


class LineageRange(Record, frozen=True):
    """The versions of one signed value between two others, these two excluded."""

    node: NodeId
    what: Lineal
    after: int
    before: int


class GetLineage(Message, frozen=True):
    """Ask for the hashes of versions, at most 1,000 ranges; answered by `Lineage`."""

    ranges: Items[LineageRange]


class Lineage(Message, frozen=True):
    """Hashes of 32 bytes each, in the order asked; `more` means that another part follows."""

    hashes: bytes
    more: bool
