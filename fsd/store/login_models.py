"""The tables of logins: penalties, the login state of each account, recovery codes."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from fsd.store.base import Base, Octets


class LoginPenalty(Base):
    """The count of refused logins in one lane (`fsd.auth.throttle`)."""

    __tablename__ = "login_penalties"

    user: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The name that was tried, whether or not there is such a user; empty: any."""
    network: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The source network; empty: any network, for attempts signed by the account's identity key."""
    failures: Mapped[int]
    last_ms: Mapped[int] = mapped_column(BigInteger)
    until_ms: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index("ix_login_penalties_last_ms", "last_ms"),)


class LoginState(Base):
    """The login state of an account; one row a user, locked by each login attempt."""

    __tablename__ = "login_states"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    failures: Mapped[int] = mapped_column(default=0)
    """Consecutive refused logins in which only the code was wrong."""
    keyless_failures: Mapped[int] = mapped_column(default=0, server_default="0")
    """The same for logins that require no identity key (SSH access)."""
    locked_ms: Mapped[int | None] = mapped_column(BigInteger)
    """Time since which every code is refused; NULL: the account is not locked."""
    drift_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    """How far the user's clock is ahead of the server's."""
    off_ms: Mapped[int | None] = mapped_column(BigInteger)
    """How far the last wrong code that is valid at another time was ahead of the server's clock.

    NULL: there was none since the last accepted code.
    """
    off_at_ms: Mapped[int | None] = mapped_column(BigInteger)
    """When it was refused."""
    secret_no: Mapped[int] = mapped_column(default=1)
    """Number of the current secret; used steps are recorded for each secret."""
    next_since_ms: Mapped[int | None] = mapped_column(BigInteger)
    """Time since which a new secret waits for its first use; NULL: there is no new secret."""
    last_network: Mapped[str] = mapped_column(String(64), default="")
    """The network from which the last accepted code came."""


class LoginNotice(Base):
    """A notice that the user gets at the next login of each session."""

    __tablename__ = "login_notices"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    count: Mapped[int]
    at_ms: Mapped[int] = mapped_column(BigInteger)
    address: Mapped[str] = mapped_column(String(64))


class ToldNotice(Base):
    """A session that has been sent a notice of the user."""

    __tablename__ = "told_notices"

    session_id: Mapped[int] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    kind: Mapped[str] = mapped_column(String(32), primary_key=True)


class RecoveryCode(Base):
    """The hash of an unused recovery code."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    code_hash: Mapped[bytes] = mapped_column(Octets(32), primary_key=True)
    made_ms: Mapped[int] = mapped_column(BigInteger)
