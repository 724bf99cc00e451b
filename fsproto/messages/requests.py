"""Messages of request links: make, list and remove the request links of a user.

Uploaders use HTTP instead (`docs/protocol.md`, section 13).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from fsproto.limits import MAX_REQUEST_DESCRIPTION, MAX_REQUEST_RECORD, MAX_REQUESTS_NAMED
from fsproto.messages.base import Message
from fsproto.packing import Record
from fsproto.ranges import Items, Uint63
from fsproto.types import Hash, RequestId

RequestRecordBytes = Annotated[bytes, Meta(max_length=MAX_REQUEST_RECORD)]


class MakeRequest(Message, frozen=True):
    """Make a request link; answered by `RequestMade`."""

    request: RequestId
    bundle: Hash
    """The hash of the user's newest bundle, which the drops are sealed to."""
    record: RequestRecordBytes
    """The owner's sealed record of the request link."""
    generation: Uint63
    """The generation of the root's key that sealed the record."""
    access_hash: Hash
    """Hash of the value that shows that an uploader has the URL."""
    proof_hash: Hash
    """Hash of the value that shows that an uploader has the URL and the password."""
    password: bool
    """Whether the request link has a password."""
    expires_ms: Uint63 | None
    max_files: Uint63 | None
    max_bytes: Uint63 | None
    """Bytes of plaintext, for all files together."""
    description: Annotated[bytes, Meta(max_length=MAX_REQUEST_DESCRIPTION)]


class RequestMade(Message, frozen=True):
    """The server has stored a request link."""

    url: str
    """The URL of the request link before `/r`."""


class GetRequests(Message, frozen=True):
    """Ask for the user's request links; answered by `Requests`."""


class OwnRequest(Record, frozen=True):
    """A request link, for its owner."""

    request: RequestId
    bundle: Hash
    record: RequestRecordBytes
    generation: Uint63
    password: bool
    made_ms: Uint63
    expires_ms: Uint63 | None
    max_files: Uint63 | None
    max_bytes: Uint63 | None
    files: Uint63
    """Files sent or being sent."""
    size: Uint63
    """Bytes of plaintext in them."""
    waiting: Uint63
    """Drops of it that wait in the inbox."""
    used_ms: Uint63
    """When the last file was complete; 0 if there was none."""
    ended: bool
    """Whether it was ended and takes no files; it is kept while drops of it wait."""
    locked: bool
    """Whether it was locked after too many wrong passwords."""


class Requests(Message, frozen=True):
    """The user's request links, the oldest first; with `more` another `Requests` follows."""

    requests: Items[OwnRequest]
    more: bool


class RemoveRequests(Message, frozen=True):
    """End request links of the user; a missing one is no error."""

    requests: Annotated[list[RequestId], Meta(max_length=MAX_REQUESTS_NAMED)]
