"""The tables of logins: penalties, the login state of each account, recovery codes."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from fsd.store.base import Base, Octets


class LoginPenalty(Base):
    """What is remembered of refused logins in one lane (`fsd.auth.throttle`)."""

    __tablename__ = "login_penalties"

    user: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The name that was tried, whether or not there is such a user; empty: any."""
    network: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Where from; empty: wherever, signed by the account's identity key."""
    failures: Mapped[int]
    last_ms: Mapped[int] = mapped_column(BigInteger)
    until_ms: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index("ix_login_penalties_last_ms", "last_ms"),)


class LoginState(Base):
    """What is known of an account's logins; one row a user, held by each try to log in."""

    __tablename__ = "login_states"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    failures: Mapped[int] = mapped_column(default=0)
    """Refused in a row, with nothing wrong but the code."""
    keyless_failures: Mapped[int] = mapped_column(default=0, server_default="0")
    """The same at a door that asks for no identity key."""
    locked_ms: Mapped[int | None] = mapped_column(BigInteger)
    """Since when no code lets anybody in; NULL: it is not locked."""
    drift_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    """How far the person's clock is ahead of ours."""
    secret_no: Mapped[int] = mapped_column(default=1)
    """Number of the secret that counts; used steps are those of one secret."""
    next_since_ms: Mapped[int | None] = mapped_column(BigInteger)
    """Since when a new secret waits for its first use; NULL: there is none."""
    last_network: Mapped[str] = mapped_column(String(64), default="")
    """Where the last code that let somebody in came from."""


class LoginNotice(Base):
    """A notice that the user gets at their next login."""

    __tablename__ = "login_notices"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    count: Mapped[int]
    at_ms: Mapped[int] = mapped_column(BigInteger)
    address: Mapped[str] = mapped_column(String(64))


class RecoveryCode(Base):
    """A recovery code that was not used yet, as a hash."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    code_hash: Mapped[bytes] = mapped_column(Octets(32), primary_key=True)
    made_ms: Mapped[int] = mapped_column(BigInteger)
