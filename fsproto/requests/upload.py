"""The bodies of HTTP requests and answers of uploads through request links, and their refusals."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from fsproto.limits import MAX_REQUEST_DROP_NOTE, MAX_REQUEST_TICKET, MAX_REQUEST_WRAPPED
from fsproto.packing import Record
from fsproto.ranges import Uint63
from fsproto.types import DropId, Root, Salt


class StartUpload(Record, frozen=True):
    """Start the upload of a drop, or ask how much of it the server has."""

    drop: DropId
    salt: Salt
    sealed_size: Uint63


class UploadState(Record, frozen=True):
    """How much the server has."""

    ticket: Annotated[bytes, Meta(max_length=MAX_REQUEST_TICKET)]
    """The permission to send segments and to finish."""
    segments: Uint63
    """Segments that the server has, from the first one on."""
    finished: bool
    """Whether the drop is complete: the owner has it."""


class FinishUpload(Record, frozen=True):
    """Make a drop of what was uploaded."""

    root: Root
    wrapped: Annotated[bytes, Meta(max_length=MAX_REQUEST_WRAPPED)]
    note: Annotated[bytes, Meta(max_length=MAX_REQUEST_DROP_NOTE)]


FULL = "full"
"""All files that the request link permits were sent, or are being sent."""
TOO_LARGE = "too-large"
"""The file is larger than what the request link, or the server, still permits."""
NO_ROOM = "no-room"
"""The owner's drop box, the owner's quota or the server's disk is full."""
BUSY = "busy"
"""Too many uploads are under way; try again later."""
TAKEN = "taken"
"""The id of the drop belongs to something else."""
ORDER = "order"
"""The server needs another segment, or has lost some: ask it again."""
DAMAGED = "damaged"
"""The content that arrived does not have the root, or is incomplete."""
