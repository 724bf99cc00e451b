"""The tables of hooks: events that wait for a delivery, and the progress through the audit log."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from fsd.store.base import Base


class HookEvent(Base):
    """One event that waits until one target has it."""

    __tablename__ = "hook_events"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    """The same in every try, and for every target."""
    target: Mapped[str] = mapped_column(String(8), primary_key=True)
    event: Mapped[str] = mapped_column(String(32))
    at_ms: Mapped[int] = mapped_column(BigInteger)
    actor: Mapped[str] = mapped_column(String(128))
    subject: Mapped[str] = mapped_column(String(64))
    address: Mapped[str] = mapped_column(String(64))
    detail: Mapped[str] = mapped_column(String(512))
    count: Mapped[int]
    """How often it happened; 0: it was delivered, and the next ones of its minute are added up."""
    next_ms: Mapped[int] = mapped_column(BigInteger)
    """Time of the next try; while a try runs, the end of its lease."""
    tries: Mapped[int]
    error: Mapped[str] = mapped_column(String(256))

    __table_args__ = (
        Index("ix_hook_events_next_ms", "target", "next_ms"),
        Index("ix_hook_events_event", "target", "event", "at_ms"),
    )


class HookProgress(Base):
    """How far the audit log was read for hooks; one row, once hooks were in use."""

    __tablename__ = "hook_progress"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Always 1."""
    seen: Mapped[int] = mapped_column(BigInteger)
    """Number of the last entry of the audit log that was read."""
    dropped: Mapped[int] = mapped_column(BigInteger)
    """How many events were deleted because too many waited."""
