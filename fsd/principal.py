"""The user who speaks on an authenticated connection."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Principal:
    """The user of a connection that has logged in, with the session and the address."""

    user_id: int
    user: str
    ed25519: bytes
    """The identity key, 32 bytes."""
    session_id: int
    address: str
