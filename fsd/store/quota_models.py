"""The tables of quotas: used amounts and limits, hand-overs, and reservations."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from fsd.store.base import Base, Octets


class Quota(Base):
    """The quota of a user: what their tree and the trees handed over to them hold, and may hold.

    A transaction that changes files also changes `used_bytes` and `used_files`. It locks this row
    before any other.
    """

    __tablename__ = "quotas"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    most_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """NULL: the limit in the settings; -1: no limit."""
    most_files: Mapped[int | None] = mapped_column(BigInteger)
    """NULL: the limit in the settings; -1: no limit."""
    used_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    """Sum of the sealed sizes of the files' current contents; older versions do not count."""
    used_files: Mapped[int] = mapped_column(BigInteger, default=0)
    nodes: Mapped[int | None] = mapped_column(BigInteger)
    """At least as many as there are; so are the next two. NULL: they must be counted."""
    record_bytes: Mapped[int | None] = mapped_column(BigInteger)
    kept_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """Sealed bytes of older versions and removed files."""
    changes: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    """The number of the last change of folders in this quota."""


class Handover(Base):
    """A closed account: it cannot log in, and its tree counts in the quota of another user."""

    __tablename__ = "handovers"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    payer_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    """The user in whose quota the tree counts; that user's account is never closed itself."""
    closed_ms: Mapped[int] = mapped_column(BigInteger)


class Reservation(Base):
    """Quota space reserved for an upload, from before its first byte until its commit."""

    __tablename__ = "reservations"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    """The user who uploads."""
    salt: Mapped[bytes] = mapped_column(Octets(32), primary_key=True)
    """Salt of the blob."""
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    """The user in whose quota the blob will count."""
    size: Mapped[int] = mapped_column(BigInteger)
    files: Mapped[int]
    line: Mapped[bytes] = mapped_column(Octets(32))
    """The connection with which the reservation ends."""
    server: Mapped[str] = mapped_column(String(64))
    """Id of the node that serves the connection, as text."""
    until_ms: Mapped[int] = mapped_column(BigInteger)
    """When the reservation ends by itself, unless that fsd renews it."""

    __table_args__ = (Index("ix_reservations_line", "line"),)
