"""The tables of quotas: what people hold and may hold, for whom else, and what is reserved."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from fsd.store.base import Base, Octets


class Quota(Base):
    """What somebody's tree holds, with those handed over to them, and how much it may; one a user.

    Both `used` are changed in the transaction that changes the files they count. Whoever does that
    holds this row before anything else.
    """

    __tablename__ = "quotas"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    most_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """NULL: what the settings say; -1: any number."""
    most_files: Mapped[int | None] = mapped_column(BigInteger)
    """NULL: what the settings say; -1: any number."""
    used_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    """Sealed sizes of the contents that its files have now; of what is there, not of what was."""
    used_files: Mapped[int] = mapped_column(BigInteger, default=0)


class Handover(Base):
    """An account that was closed: nobody logs in with it, and what it holds counts elsewhere."""

    __tablename__ = "handovers"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    payer_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    """In whose quota; never somebody whose account is closed as well."""
    closed_ms: Mapped[int] = mapped_column(BigInteger)


class Reservation(Base):
    """Room that an upload will need, from before its first byte to its commit."""

    __tablename__ = "reservations"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    """Who uploads."""
    salt: Mapped[bytes] = mapped_column(Octets(32), primary_key=True)
    """Of the blob."""
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    """In whose quota it will be."""
    size: Mapped[int] = mapped_column(BigInteger)
    files: Mapped[int]
    line: Mapped[bytes] = mapped_column(Octets(32))
    """Which connection it ends with."""
    server: Mapped[str] = mapped_column(String(64))
    """Which fsd that connection is to."""
    until_ms: Mapped[int] = mapped_column(BigInteger)
    """When it ends by itself, if that fsd no longer says that it is there."""

    __table_args__ = (Index("ix_reservations_line", "line"),)
