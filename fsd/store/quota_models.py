"""The tables of quotas: what each tree holds and may hold, and what uploads have reserved."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from fsd.store.base import Base, Octets


class Quota(Base):
    """What somebody's tree holds, and how much it may; one row a user.

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
    """In whose tree it will be."""
    size: Mapped[int] = mapped_column(BigInteger)
    files: Mapped[int]
    line: Mapped[bytes] = mapped_column(Octets(32))
    """Which connection it ends with."""
    server: Mapped[str] = mapped_column(String(64))
    """Which fsd that connection is to."""
    until_ms: Mapped[int] = mapped_column(BigInteger)
    """When it ends by itself, if that fsd no longer says that it is there."""

    __table_args__ = (Index("ix_reservations_line", "line"),)
