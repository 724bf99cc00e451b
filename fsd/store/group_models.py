"""The tables of groups: lists of users that an administrator keeps under a name."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from fsd.store.base import BIG_ID, NEVER_AGAIN, Base


class UserGroup(Base):
    """A group: the users to whom a share with the group is offered. It gives no access itself."""

    __tablename__ = "user_groups"

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    note: Mapped[str] = mapped_column(String(256))
    """The administrator's note; users cannot see it."""
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
