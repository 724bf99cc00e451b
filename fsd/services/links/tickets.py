"""Tickets: the permission to continue a download or an upload for some time, without a proof.

ticket = u64 time in ms ‖ HMAC-SHA256(key, ids of what it is for ‖ time)
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from fsd.services.links.proofs import NoSuchLink
from fsproto import crypto

_TIME = struct.Struct(">Q")


class UrlTickets:
    """Makes and checks tickets of one kind; nothing is stored."""

    def __init__(self, key: bytes, valid_s: int, now_ms: Callable[[], int]) -> None:
        """Take the key that authenticates them (32 bytes), their lifetime, and the clock."""
        self._key = key
        self._valid_ms = valid_s * 1000
        self._now_ms = now_ms

    def make(self, *ids: bytes) -> bytes:
        """Return a new ticket for what some ids name; each of them always has the same length."""
        return self._ticket(ids, self._now_ms())

    def check(self, ticket: bytes, *ids: bytes) -> None:
        """Raise `NoSuchLink` unless a ticket is for what these ids name, and not old."""
        if len(ticket) < _TIME.size:
            raise NoSuchLink
        (at_ms,) = _TIME.unpack_from(ticket)
        if not crypto.equal(ticket, self._ticket(ids, at_ms)):
            raise NoSuchLink
        if not 0 <= self._now_ms() - at_ms < self._valid_ms:
            raise NoSuchLink

    def _ticket(self, ids: tuple[bytes, ...], at_ms: int) -> bytes:
        stated = _TIME.pack(at_ms)
        return stated + crypto.hmac_sha256(self._key, *ids, stated)
