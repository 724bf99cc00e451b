"""The administrator's management of groups and of the users in them.

A group gives no access. It is a list of names that the server sends to an owner for a share; the
owner decides, name by name, to which users a node is sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.services.accounts.users import find_user, unknown_user
from fsd.store import models
from fsd.store.engine import Database
from fsd.store.group_models import UserGroup
from fsd.store.repos import groups, users
from fsd.store.repos.groups import GroupMembership
from fsproto.errors import ExistsError, NotAllowedError, NotFoundError, UsageError
from fsproto.limits import MAX_GROUP
from fsproto.names import clean_group, for_terminal, is_user

MAX_NOTE = 256
"""Characters of a group's note."""


@dataclass(frozen=True)
class GroupView:
    """A group as the administrator sees it."""

    name: str
    note: str
    created_ms: int
    members: list[GroupMembership]


class GroupAdmin:
    """The administrator's use cases about groups; all calls block."""

    def __init__(
        self, database: Database, *, audit: AuditLog, actor: str, now_ms: Callable[[], int]
    ) -> None:
        """Take the parts, and the actor for the audit log."""
        self._database = database
        self._audit = audit
        self._actor = actor
        self._now_ms = now_ms

    def add(self, name: str, note: str = "") -> GroupView:
        """Make an empty group; `ExistsError` if the name is taken."""
        clean_group(name)
        if len(note) > MAX_NOTE or not note.isprintable():
            raise UsageError(f"A note has at most {MAX_NOTE} printable characters, on one line.")
        with self._database.write() as db:
            if groups.by_name(db, name):
                raise _taken(name)
            group = UserGroup(name=name, note=note, created_ms=self._now_ms())
            db.add(group)
            try:
                db.flush()
            except IntegrityError:  # another process made it concurrently
                raise _taken(name) from None
            self._record(db, AuditEvent.GROUP_ADDED, name)
            return self._shown(db, group)

    def remove(self, name: str) -> None:
        """Remove a group; its users and the nodes shared with them stay unchanged."""
        with self._database.write() as db:
            group = _held(db, name)
            db.delete(group)
            self._record(db, AuditEvent.GROUP_REMOVED, name)

    def everything(self) -> list[GroupView]:
        """Return all groups by name."""
        with self._database.read() as db:
            return [self._shown(db, group) for group in groups.everything(db)]

    def show(self, name: str) -> GroupView:
        """Return one group; `NotFoundError` if there is none of that name."""
        with self._database.read() as db:
            group = groups.by_name(db, name) if is_user(name) else None
            if group is None:
                raise _no_group(name)
            return self._shown(db, group)

    def add_members(self, name: str, people: Sequence[str]) -> GroupView:
        """Add users to a group, all or, if one cannot be added, none."""
        with self._database.write() as db:
            group = _held(db, name)
            for user in _held_users(db, people, "no user was added"):
                if groups.is_in(db, group.id, user.id):
                    raise ExistsError(f"{user.name} is in the group {name} already; no user was "
                                      "added.")  # fmt: skip
                groups.put_in(db, group.id, user.id, self._now_ms())
                self._record(db, AuditEvent.GROUP_MEMBER_ADDED, name, user.name)
            db.flush()
            if groups.count(db, group.id) > MAX_GROUP:
                raise NotAllowedError(
                    f"A group has at most {MAX_GROUP} people; no user was added.",
                    hint="Make a second group; people can share with both.",
                )
            return self._shown(db, group)

    def remove_members(self, name: str, people: Sequence[str]) -> GroupView:
        """Remove users from a group, all or, if one is not in it, none."""
        with self._database.write() as db:
            group = _held(db, name)
            for user in _held_users(db, people, "no user was removed"):
                if not groups.is_in(db, group.id, user.id):
                    raise NotFoundError(
                        f"{user.name} is not in the group {name}; no user was removed.",
                        hint=f"'fsadmin show-group {name}' lists its members.",
                    )
                groups.take_out(db, group.id, user.id)
                self._record(db, AuditEvent.GROUP_MEMBER_REMOVED, name, user.name)
            return self._shown(db, group)

    def _shown(self, db: Db, group: UserGroup) -> GroupView:
        members = groups.members(db, group.id, self._now_ms())
        return GroupView(group.name, group.note, group.created_ms, members)

    def _record(self, db: Db, event: AuditEvent, group: str, user: str = "") -> None:
        self._audit.record(db, event, actor=self._actor, subject=user, detail=f"@{group}")


def _held(db: Db, name: str) -> UserGroup:
    """Return a group, locked against concurrent changes."""
    group = groups.hold(db, name) if is_user(name) else None
    if group is None:
        raise _no_group(name)
    return group


def _held_users(db: Db, names: Sequence[str], what: str) -> list[models.User]:
    """Return the users of those names, locked against concurrent removal.

    They are locked in the order of their ids, so that concurrent changes of two groups cannot
    deadlock.
    """
    found = {}
    for name in dict.fromkeys(names):
        try:
            found[find_user(db, name).id] = name
        except NotFoundError as error:
            error.sentence = f"{error.sentence[:-1]}; {what}."
            raise
    held = []
    for number, name in sorted(found.items()):
        user = users.hold(db, number)
        if user is None:
            raise unknown_user(name)
        held.append(user)
    return held


def _taken(name: str) -> ExistsError:
    return ExistsError(f"There is already a group {name}.")


def _no_group(name: str) -> NotFoundError:
    return NotFoundError(
        f"There is no group {for_terminal(name[:80])}.", hint="'fsadmin list-groups' shows all."
    )
