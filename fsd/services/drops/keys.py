"""The administrator's management of SSH keys that may drop for users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.services.accounts.users import find_user
from fsd.store.drop_models import DropKey
from fsd.store.engine import Database
from fsd.store.repos import drops, users
from fsproto.errors import ExistsError, NotFoundError, UsageError
from fsproto.keys.ssh_keys import SshKey
from fsproto.names import for_terminal

_LONGEST_LABEL = 255


@dataclass(frozen=True)
class KnownKey:
    """A key that may drop."""

    user: str
    fingerprint: str
    kind: str
    label: str
    added_ms: int


class DropKeyAdmin:
    """The administrator's use cases about drop keys; all calls block."""

    def __init__(
        self, database: Database, *, audit: AuditLog, actor: str, now_ms: Callable[[], int]
    ) -> None:
        """Take the parts, and the actor for the audit log."""
        self._database = database
        self._audit = audit
        self._actor = actor
        self._now_ms = now_ms

    def add(self, name: str, key: SshKey, label: str) -> KnownKey:
        """Register a drop key for a user; `ExistsError` if the key is already registered."""
        label = " ".join(label.split())
        if len(label) > _LONGEST_LABEL or not label.isprintable():
            raise UsageError(f"A note is at most {_LONGEST_LABEL} characters that can be printed.")
        known = KnownKey(name, key.fingerprint, key.kind, label, self._now_ms())
        with self._database.write() as db:
            user = users.hold(db, find_user(db, name).id)
            if user is None:
                raise NotFoundError(f"There is no user {name}.")
            row = DropKey(
                fingerprint=known.fingerprint,
                user_id=user.id,
                kind=key.kind,
                public=key.public,
                label=label,
                added_ms=known.added_ms,
            )
            if (there := drops.drop_key_user(db, known.fingerprint)) is not None:
                raise _taken(there[0].name)
            try:
                drops.add_key(db, row)
            except IntegrityError:  # another process added it concurrently
                raise _taken("another user") from None
            self._record(db, AuditEvent.DROP_KEY_ADDED, name, known.fingerprint)
        return known

    def listed(self, name: str | None = None) -> list[KnownKey]:
        """Return the keys of one user, or all, by name and age."""
        with self._database.read() as db:
            ids = None if name is None else [find_user(db, name).id]
            return [
                KnownKey(user, one.fingerprint, one.kind, one.label, one.added_ms)
                for user, one in drops.keys(db, ids)
            ]

    def remove(self, fingerprint: str) -> KnownKey:
        """Revoke a drop key; `NotFoundError` if it is not registered."""
        with self._database.write() as db:
            found = drops.drop_key_user(db, fingerprint)
            if found is None:
                raise NotFoundError(
                    f"No key {for_terminal(fingerprint[:80])} may drop for anybody.",
                    hint="'fsadmin list-drop-keys' shows all.",
                )
            user, one = found
            known = KnownKey(user.name, one.fingerprint, one.kind, one.label, one.added_ms)
            drops.remove_key(db, fingerprint)
            self._record(db, AuditEvent.DROP_KEY_REMOVED, user.name, fingerprint)
        return known

    def _record(self, db: Db, event: AuditEvent, name: str, detail: str) -> None:
        self._audit.record(db, event, actor=self._actor, subject=name, detail=detail)


def _taken(name: str) -> ExistsError:
    return ExistsError(
        f"That key drops for {name} already.",
        hint="A key can drop for one user; 'fsadmin remove-drop-key' removes it.",
    )
