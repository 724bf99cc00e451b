"""The tables of the blob store: uploads, their parts, and places to be deleted.

A place is where the blob store has a blob: a random name that is used once. From before its first
byte until after its deletion, a place is in `blobs`, in `uploads` or in `doomed_places`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fsd.store.base import Base, Octets


class Upload(Base):
    """An upload that can be resumed, on any server of this database."""

    __tablename__ = "uploads"

    place: Mapped[str] = mapped_column(String(80), primary_key=True)
    owner_id: Mapped[int] = mapped_column(BigInteger)
    """The user; minus the user's number for an upload with one of the user's request links, so that
    it counts apart from the user's own uploads."""
    salt: Mapped[bytes] = mapped_column(Octets(32))
    remote_id: Mapped[str] = mapped_column(String(1024))
    """The blob store's own name of the upload; may be empty."""
    epoch: Mapped[int] = mapped_column(BigInteger)
    """Raised by each resumption; a server may change the upload only under its own epoch."""
    size: Mapped[int] = mapped_column(BigInteger)
    """Bytes in all its parts."""
    touched_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    """When a part was last recorded, or the upload resumed."""
    lease_until_ms: Mapped[int] = mapped_column(BigInteger)
    """Until when a connection is taken to receive it; 0 once it is interrupted."""
    node: Mapped[str] = mapped_column(String(64), default="", server_default="")
    """Id of the node that received it last, as text."""

    __table_args__ = (UniqueConstraint("owner_id", "salt"),)


class Part(Base):
    """A part of an upload: some whole segments that the blob store has."""

    __tablename__ = "upload_parts"

    place: Mapped[str] = mapped_column(
        String(80), ForeignKey("uploads.place", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """From 1, without gaps."""
    size: Mapped[int] = mapped_column(BigInteger)
    tag: Mapped[str] = mapped_column(String(256))
    """What the blob store returned for the part; may be empty."""
    leaves: Mapped[bytes] = mapped_column(Octets)
    """The hashes of its segments, 32 bytes each."""


class DoomedPlace(Base):
    """A place whose blob is deleted at some time, unless a transaction claims the place before."""

    __tablename__ = "doomed_places"

    place: Mapped[str] = mapped_column(String(80), primary_key=True)
    due_ms: Mapped[int | None] = mapped_column(BigInteger, index=True)
    """When it is to be deleted; NULL until the next run of the garbage collection sets it."""
    is_collected: Mapped[bool]
    """Whether a server has started to delete it, so that nothing can claim it any more."""
