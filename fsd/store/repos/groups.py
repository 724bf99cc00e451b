"""Queries on groups and their members."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import Session as Db

from fsd.store.group_models import GroupMember, UserGroup
from fsd.store.models import Bundle, User
from fsd.store.repos.users import is_expired


class GroupMembership(NamedTuple):
    """A member of a group."""

    user: str
    enrolled: bool
    """Whether keys were registered."""
    disabled: bool
    expired: bool

    @property
    def is_out(self) -> bool:
        """Return whether the member may not log in."""
        return self.disabled or self.expired


def by_name(db: Db, name: str) -> UserGroup | None:
    """Return the group of that name."""
    return db.scalar(select(UserGroup).where(UserGroup.name == name))


def hold(db: Db, name: str) -> UserGroup | None:
    """Return a group, locked until the end of this transaction."""
    return db.scalar(select(UserGroup).where(UserGroup.name == name).with_for_update())


def everything(db: Db) -> list[UserGroup]:
    """Return all groups by name."""
    return list(db.scalars(select(UserGroup).order_by(UserGroup.name)))


def members(db: Db, group_id: int, now_ms: int) -> list[GroupMembership]:
    """Return the members of a group, by name."""
    enrolled = exists().where(Bundle.user_id == User.id)
    rows = db.execute(
        select(User, enrolled)
        .join(GroupMember, GroupMember.user_id == User.id)
        .where(GroupMember.group_id == group_id)
        .order_by(User.name)
    )
    return [
        GroupMembership(one.name, has, one.disabled, is_expired(one.expires_ms, now_ms))
        for one, has in rows
    ]


def count(db: Db, group_id: int) -> int:
    """Return how many people are in a group."""
    ask = select(func.count()).select_from(GroupMember).where(GroupMember.group_id == group_id)
    return db.scalar(ask) or 0


def is_in(db: Db, group_id: int, user_id: int) -> bool:
    """Return whether a user is in a group."""
    return db.get(GroupMember, (group_id, user_id)) is not None


def put_in(db: Db, group_id: int, user_id: int, now_ms: int) -> None:
    """Add a user to a group."""
    db.add(GroupMember(group_id=group_id, user_id=user_id, added_ms=now_ms))


def take_out(db: Db, group_id: int, user_id: int) -> None:
    """Remove a user from a group."""
    here = (GroupMember.group_id == group_id) & (GroupMember.user_id == user_id)
    db.execute(delete(GroupMember).where(here))


def leave_all(db: Db, user_id: int) -> list[str]:
    """Remove a user from all groups; return the names of the groups that they were in."""
    query = select(UserGroup.name).join(GroupMember, GroupMember.group_id == UserGroup.id)
    left = list(db.scalars(query.where(GroupMember.user_id == user_id).order_by(UserGroup.name)))
    db.execute(delete(GroupMember).where(GroupMember.user_id == user_id))
    return left
