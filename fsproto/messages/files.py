"""Looking at folders and changing them."""

from __future__ import annotations

from fsproto.messages.base import Message
from fsproto.messages.shares import NewMembers
from fsproto.packing import Record
from fsproto.signed import Signed
from fsproto.types import NodeId, Root, Salt, Token


class Lookup(Message, frozen=True):
    """Ask for some names of one folder; answered by `Found`."""

    folder: NodeId
    tokens: list[Token]


class Found(Message, frozen=True):
    """A folder's state, the proof for the tokens, and the manifests of those that are there.

    The manifests come in the order of their tokens, each once.
    """

    state: Signed
    proof: bytes
    manifests: list[Signed]


class List(Message, frozen=True):
    """Ask for everything in one folder; answered by any number of `Entries`, then `Listed`."""

    folder: NodeId


class Entries(Message, frozen=True):
    """A part of a listing, in the order of the tokens."""

    manifests: list[Signed]


class Listed(Message, frozen=True):
    """The end of a listing: the state that all its parts together must have as their root."""

    state: Signed


class InlineBlob(Record, frozen=True):
    """A whole sealed blob of at most 64 KiB."""

    salt: Salt
    data: bytes


class Removal(Record, frozen=True):
    """A name that is taken out of a folder, with everything under it unless that moves away."""

    folder: NodeId
    token: Token


class Commit(Message, frozen=True):
    """Change folders, all of it or nothing.

    `states` holds the next state of every folder that changes, `manifests` the next version of
    every node that is new, changed or moved, `removals` the names that go, `members` the next
    member list of nodes that are shared to others than before or took a new key. Content that a
    manifest names was uploaded before or is in `blobs`. Answered by `Done`; by `Stale` if a
    folder is no longer as the new state says it was (what came in `blobs` is then kept, and need
    not be sent again); or by `Failure`.
    """

    states: list[Signed]
    manifests: list[Signed]
    removals: list[Removal]
    blobs: list[InlineBlob]
    members: list[NewMembers]


class Stale(Message, frozen=True):
    """Somebody was quicker: each folder of the commit as it is now, with proofs for its tokens."""

    folders: list[Found]


class Room(Record, frozen=True):
    """What an upload will need room for: where, in whose place, and how much."""

    folder: NodeId | None
    """A folder that is there, of the tree that it is for; None: one's own tree."""
    instead: NodeId | None
    """The file of which it will be the next content, if it is one's that is there."""
    size: int | None
    """Its sealed size in bytes; None if that is not known before its end."""


class Upload(Message, frozen=True):
    """Begin a blob. Its segments follow as data records whose stream is this request's number.

    With `resumable`, what has come of it when the connection breaks is kept for `Resume`. Where
    the quota of the tree's owner has no room for it, `Failure` comes before any segment is taken.
    """

    salt: Salt
    resumable: bool
    room: Room


class Resume(Message, frozen=True):
    """Go on with a resumable upload that was broken off; answered by `Kept`."""

    salt: Salt
    room: Room


class Kept(Message, frozen=True):
    """How many segments the server has of that upload, which goes on behind them.

    0: none, and nothing has begun. `whole`: the blob is complete, and only wants its `UploadEnd`.
    """

    segments: int
    whole: bool


class UploadEnd(Message, frozen=True):
    """All segments were sent; answered by `Done` once the blob's root was found to be this one."""

    root: Root
    sealed_size: int


class UploadAbort(Message, frozen=True):
    """Forget the blob that was begun; not answered."""


class Download(Message, frozen=True):
    """Ask for a node's content from segment `first` on; answered by data records, then `Sent`."""

    node: NodeId
    root: Root
    first: int


class Content(Record, frozen=True):
    """The content of one node: which, and the root it is known by."""

    node: NodeId
    root: Root


class Fetch(Message, frozen=True):
    """Ask for the content of many small files at once; answered by one or more `Fetched`."""

    contents: list[Content]


class Fetched(Message, frozen=True):
    """Whole blobs, in the order asked for; nil for one that cannot be had this way.

    That is one which is larger than 64 KiB, or was replaced or removed meanwhile.
    """

    blobs: list[bytes | None]


class Sent(Message, frozen=True):
    """All segments were sent."""

    sealed_size: int
