"""The tables of the audit log; `fsd.audit.chain` defines its hashes and proofs."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from fsd.store.base import Base, Octets


class AuditEntry(Base):
    """One recorded event; never changed afterwards."""

    __tablename__ = "audit_entries"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """Number of the entry; the head assigns it, so that numbers are unique and have no gap."""
    at_ms: Mapped[int] = mapped_column(BigInteger)
    event: Mapped[str] = mapped_column(String(32))
    actor: Mapped[str] = mapped_column(String(128))
    subject: Mapped[str] = mapped_column(String(64))
    address: Mapped[str] = mapped_column(String(64))
    detail: Mapped[str] = mapped_column(String(512))
    hash: Mapped[bytes] = mapped_column(Octets(32))

    __table_args__ = (
        Index("ix_audit_entries_actor", "actor"),
        Index("ix_audit_entries_subject", "subject"),
        Index("ix_audit_entries_at_ms", "at_ms"),
    )


class AuditHead(Base):
    """The current start and end of the log; one row."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Always 1."""
    base: Mapped[int] = mapped_column(BigInteger)
    """Number of the last entry that was rotated away; 0 for none."""
    base_hash: Mapped[bytes] = mapped_column(Octets(32))
    last: Mapped[int] = mapped_column(BigInteger)
    last_hash: Mapped[bytes] = mapped_column(Octets(32))
    proof: Mapped[bytes] = mapped_column(Octets(32))
    sealed_key: Mapped[bytes] = mapped_column(Octets)
    """The audit key, sealed under the master key."""
