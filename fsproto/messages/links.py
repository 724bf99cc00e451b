"""Messages of public links: make, list and remove the links of a user.

Receivers use HTTP instead (`docs/protocol.md`, section 12).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from fsproto.limits import (
    MAX_PUBLIC_LINK_CONTENTS,
    MAX_PUBLIC_LINK_PART,
    MAX_PUBLIC_LINK_RECORD,
    MAX_PUBLIC_LINKS_NAMED,
)
from fsproto.messages.base import Message
from fsproto.messages.files import Content
from fsproto.packing import Record
from fsproto.ranges import Items, Uint63
from fsproto.types import Hash, LinkId, NodeId

LinkRecordBytes = Annotated[bytes, Meta(max_length=MAX_PUBLIC_LINK_RECORD)]


class LinkPart(Record, frozen=True):
    """A part of the sealed description of a link, and some of the contents that the link opens."""

    data: Annotated[bytes, Meta(max_length=MAX_PUBLIC_LINK_PART)]
    contents: Annotated[list[Content], Meta(max_length=MAX_PUBLIC_LINK_CONTENTS)]
    more: bool
    """Whether another part follows; the link opens after the last one."""


class MakeLink(Message, frozen=True):
    """Make a public link of a node in the user's own tree; answered by `LinkMade`."""

    link: LinkId
    node: NodeId
    record: LinkRecordBytes
    """The owner's sealed record of the link."""
    generation: Uint63
    """The generation of the root's key that sealed the record."""
    access_hash: Hash
    """Hash of the value that shows that a receiver has the URL."""
    proof_hash: Hash
    """Hash of the value that shows that a receiver has the URL and the password."""
    password: bool
    """Whether the link has a password."""
    expires_ms: Uint63 | None
    max_downloads: Uint63 | None
    part: LinkPart


class AddToLink(Message, frozen=True):
    """Add the next part to a link that is not complete yet; answered by `Done`."""

    link: LinkId
    number: Uint63
    """1 for the part after that in `MakeLink`."""
    part: LinkPart


class LinkMade(Message, frozen=True):
    """The server has stored a link, or the first part of it."""

    url: str
    """The URL of the link before `/l`."""


class GetLinks(Message, frozen=True):
    """Ask for the user's public links; answered by `Links`."""


class OwnLink(Record, frozen=True):
    """A public link, for its owner."""

    link: LinkId
    node: NodeId
    record: LinkRecordBytes
    generation: Uint63
    password: bool
    made_ms: Uint63
    expires_ms: Uint63 | None
    max_downloads: Uint63 | None
    downloads: Uint63
    used_ms: Uint63
    """When the last download was started; 0 if there was none."""
    files: Uint63
    locked: bool
    """Whether the link was locked after too many wrong passwords."""


class Links(Message, frozen=True):
    """The user's public links, the oldest first; with `more` another `Links` follows."""

    links: Items[OwnLink]
    more: bool


class RemoveLinks(Message, frozen=True):
    """End public links of the user; a missing one is no error."""

    links: Annotated[list[LinkId], Meta(max_length=MAX_PUBLIC_LINKS_NAMED)]
