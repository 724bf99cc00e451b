"""Data types of the drop box: sources, drops of a session, stored drops."""

from __future__ import annotations

from dataclasses import dataclass, field

from fsproto.drop import DropContent, DropNote
from fsproto.types import DropId


@dataclass(frozen=True)
class DropSource:
    """The source of a drop, as the listener identified it."""

    address: str
    key: str = ""
    """Fingerprint of the SSH key of the login; empty: a login with a one-time password."""
    label: str = ""
    """The administrator's name for that key."""

    def actor(self, user: str) -> str:
        """Return the actor for the audit log."""
        return f"drop-key:{self.key}" if self.key else user


@dataclass(frozen=True)
class SessionDrop:
    """A drop as the session that uploaded it knows it."""

    drop: DropId
    content: DropContent
    note: DropNote
    note_key: bytes = field(repr=False)
    """Key that seals new notes; it opens only notes."""


@dataclass(frozen=True)
class FinishedDrop:
    """The stored data of a drop."""

    drop: DropId
    content: DropContent
    wrapped: bytes
    note: bytes
    arrived_ms: int
    data: bytes | None
    """The sealed content if it is small; None if it is in the blob store."""
    place: str | None
    """Where the blob store has it; None if it is small."""


@dataclass(frozen=True)
class KeyHolder:
    """The user that an SSH key may drop for, and the administrator's label of the key."""

    user_id: int
    user: str
    fingerprint: str
    label: str

    def source(self, address: str) -> DropSource:
        """Return who drops, if it is from there."""
        return DropSource(address, self.fingerprint, self.label)
