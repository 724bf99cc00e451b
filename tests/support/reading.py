"""Answers in parts, read to their end."""

from __future__ import annotations

from fsd.principal import Principal
from fsproto.messages.files import Content, Entries, Listed
from fsproto.signed import Signed
from fsproto.types import NodeId
from tests.support.services import Services


def listing_of(office: Services, who: Principal, folder: NodeId) -> tuple[list[Signed], Listed]:
    """Return the manifests of a folder, and the state that they belong to."""
    *parts, end = office.files.listing(who, folder)
    assert isinstance(end, Listed)
    entries = [part for part in parts if isinstance(part, Entries)]
    return [one for part in entries for one in part.manifests], end


def fetched_by(office: Services, who: Principal, asked: list[Content]) -> list[bytes | None]:
    """Return the requested small contents."""
    return [blob for part in office.transfers.fetch(who, asked) for blob in part.blobs]
