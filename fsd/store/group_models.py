"""The tables of groups: people whom an administrator has put together under a name."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from fsd.store.base import BIG_ID, NEVER_AGAIN, Base


class UserGroup(Base):
    """A group; it opens nothing by itself, and says only whom a share to it is offered to."""

    __tablename__ = "user_groups"

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    note: Mapped[str] = mapped_column(String(256))
    """What the administrator wants to remember of it; nobody else is told."""
    created_ms: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = NEVER_AGAIN


class GroupMember(Base):
    """A member of a group; deleted with the group, and with the user."""

    __tablename__ = "group_members"

    group_id: Mapped[int] = mapped_column(
        ForeignKey("user_groups.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    added_ms: Mapped[int] = mapped_column(BigInteger)
