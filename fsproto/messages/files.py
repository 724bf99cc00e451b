"""Messages that list, change, upload and download files and folders."""

from __future__ import annotations

from fsproto.messages.base import Message
from fsproto.messages.shares import NewMembers
from fsproto.packing import Record
from fsproto.ranges import Blobs, Items, Present, Uint63
from fsproto.signed import Signed
from fsproto.types import NodeId, Root, Salt, Token


class Lookup(Message, frozen=True):
    """Ask for some names of one folder; answered by `Found`."""

    folder: NodeId
    tokens: Items[Token]


class Found(Message, frozen=True):
    """A folder's state, the proof for the tokens, and the manifests of those that exist.

    The manifests come in the order of their tokens, each once.
    """

    state: Signed
    proof: bytes
    manifests: Items[Signed]


class List(Message, frozen=True):
    """Ask for everything in one folder; answered by any number of `Entries`, then `Listed`."""

    folder: NodeId


class Entries(Message, frozen=True):
    """A part of a listing, in the order of the tokens."""

    manifests: Items[Signed]


class Listed(Message, frozen=True):
    """The end of a listing: the state that all its parts together must have as their root."""

    state: Signed


class GetStates(Message, frozen=True):
    """Ask for the states of many folders at once; answered by `States`."""

    folders: Present[NodeId]


class States(Message, frozen=True):
    """The present state of each folder, in the requested order; nil where there is none to read."""

    states: Present[Signed | None]


class Watch(Message, frozen=True):
    """Ask whether something under a folder has changed; answered by `Changed`.

    The server answers when it sees a change, or after `wait_s` seconds.
    """

    folder: NodeId
    wait_s: Uint63


class Changed(Message, frozen=True):
    """Whether something has changed since the previous answer for this folder; nothing proves it.

    The first answer for a folder on a connection is true.
    """

    changed: bool


class InlineBlob(Record, frozen=True):
    """A whole sealed blob of at most 64 KiB."""

    salt: Salt
    data: bytes


class Removal(Record, frozen=True):
    """A name to remove from a folder, with everything under it that does not move elsewhere."""

    folder: NodeId
    token: Token


class Commit(Message, frozen=True):
    """Change folders atomically: all changes or none.

    `states` holds the next state of every folder that changes, `manifests` the next version of
    every node that is new, changed or moved, `removals` the removed names, `members` the next
    member list of every node whose members change or whose key is new. The content that a manifest
    names was uploaded earlier or is in `blobs`. Answered by `Done`, `Stale` or `Failure`. `Stale`
    means that a folder has changed since the state that the new one follows; the server then keeps
    `blobs`, so the client need not send them again.
    """

    states: Items[Signed]
    manifests: Items[Signed]
    removals: Items[Removal]
    blobs: Items[InlineBlob]
    members: Items[NewMembers]


class Stale(Message, frozen=True):
    """A folder changed: each folder of the commit as it is now, with proofs for its tokens."""

    folders: Items[Found]


class Room(Record, frozen=True):
    """What an upload will add, for the quota check: the folder, the file it replaces, the size."""

    folder: NodeId | None
    """An existing folder of the tree for which the upload is; None for the user's own tree."""
    instead: NodeId | None
    """The existing file whose content the upload will replace; None for a new file."""
    size: int | None
    """Sealed size in bytes; None if it is not known until the end."""


class Upload(Message, frozen=True):
    """Start to upload a blob. Its segments follow as data records in the stream of this request.

    The stream has the number of this request. With `resumable`, the server keeps the received
    segments for `Resume` if the connection breaks. If the upload would exceed the quota of the
    tree's owner, the server answers `Failure` before it accepts a segment.
    """

    salt: Salt
    resumable: bool
    room: Room


class Resume(Message, frozen=True):
    """Resume an interrupted upload; answered by `Kept`."""

    salt: Salt
    room: Room


class Kept(Message, frozen=True):
    """How many segments of that upload the server has; the client continues after them.

    0: none, and no upload was started. `whole`: the blob is complete and needs only `UploadEnd`.
    """

    segments: int
    whole: bool


class UploadEnd(Message, frozen=True):
    """All segments were sent; answered by `Done` after the server has verified the root."""

    root: Root
    sealed_size: int


class UploadAbort(Message, frozen=True):
    """Discard the unfinished blob; not answered."""


class Download(Message, frozen=True):
    """Ask for a node's content from segment `first` on; answered by data records, then `Sent`."""

    node: NodeId
    root: Root
    first: int


class Content(Record, frozen=True):
    """A reference to the content of one node: the node and the root of its blob."""

    node: NodeId
    root: Root


class Fetch(Message, frozen=True):
    """Ask for the content of many small files at once; answered by one or more `Fetched`."""

    contents: Items[Content]


class Fetched(Message, frozen=True):
    """Whole blobs in the requested order; nil for each unavailable blob.

    A blob is unavailable here if it is larger than 64 KiB, or was replaced or removed concurrently.
    """

    blobs: Blobs[bytes | None]


class Sent(Message, frozen=True):
    """All segments were sent."""

    sealed_size: int
