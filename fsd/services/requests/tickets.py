"""Tickets: the permission to continue one upload with a request link, for a day."""

from __future__ import annotations

import struct
from collections.abc import Callable

from fsd.services.links.proofs import NoSuchLink
from fsproto import crypto
from fsproto.drop import DROP_ID_SIZE
from fsproto.limits import REQUEST_TICKET_S
from fsproto.types import DropId, RequestId

_TIME = struct.Struct(">Q")


class UploadTickets:
    """Makes and checks tickets; nothing is stored."""

    def __init__(self, key: bytes, now_ms: Callable[[], int]) -> None:
        """Take the key that authenticates them (32 bytes), and the clock."""
        self._key = key
        self._now_ms = now_ms

    def make(self, request: RequestId, drop: DropId) -> bytes:
        """Return a new ticket."""
        return self._ticket(request, drop, self._now_ms())

    def check(self, request: RequestId, drop: DropId, ticket: bytes) -> None:
        """Raise `NoSuchLink` unless a ticket is for this upload, and not old."""
        if len(ticket) < _TIME.size or len(drop) != DROP_ID_SIZE:
            raise NoSuchLink
        (at_ms,) = _TIME.unpack_from(ticket)
        if not crypto.equal(ticket, self._ticket(request, drop, at_ms)):
            raise NoSuchLink
        if not 0 <= self._now_ms() - at_ms < REQUEST_TICKET_S * 1000:
            raise NoSuchLink

    def _ticket(self, request: RequestId, drop: DropId, at_ms: int) -> bytes:
        stated = _TIME.pack(at_ms)
        return stated + crypto.hmac_sha256(self._key, request, drop, stated)
