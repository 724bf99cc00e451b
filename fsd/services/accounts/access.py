"""Access for the administrator: secrets, recovery codes, locks, sessions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.auth import recovery_codes
from fsd.auth.vault import Vault
from fsd.services.accounts.users import Enrolment, find_user
from fsd.services.login import codes
from fsd.services.login.codes import Account
from fsd.services.login.ssh_login import how
from fsd.store.engine import Database
from fsd.store.repos import logins, penalties, sessions
from fsproto.errors import NotFoundError
from fsproto.types import Random


@dataclass(frozen=True)
class SessionView:
    """A running session; times are Unix milliseconds."""

    id: int
    user: str
    began_ms: int
    used_ms: int
    """When the session was last resumed, accurate to about ten minutes."""
    expires_ms: int
    address: str
    """The address from which the session was last resumed."""
    door: str
    """`native`; `ssh`, or `ssh ` and the fingerprint of the key that it is bound to."""
    device: str
    """The name that the user gave to the device; may be empty."""


class AccessAdmin:
    """The administrator's use cases of access; all calls block."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        *,
        audit: AuditLog,
        actor: str,
        now_ms: Callable[[], int],
        random: Random,
    ) -> None:
        """Take the parts, and the actor for the audit log."""
        self._database = database
        self._vault = vault
        self._audit = audit
        self._actor = actor
        self._now_ms = now_ms
        self._random = random

    def rotate_secret(self, name: str, *, at_once: bool = False) -> Enrolment:
        """Give an account a new one-time password secret.

        The old one works until the new one is used for the first time, or ends `at_once`.
        """
        with self._database.write() as db:
            account = _held(db, name)
            if at_once:
                setting = codes.replace(self._vault, account)
                self._record(db, AuditEvent.SECRET_REPLACED, name, "at once")
            else:
                setting = codes.rotate(self._vault, account, self._now_ms())
                self._record(db, AuditEvent.SECRET_ROTATED, name)
            return Enrolment(name, setting)

    def recovery_codes(self, name: str) -> list[str]:
        """Make new recovery codes for an account; all earlier ones are void."""
        made = recovery_codes.new_codes(self._random)
        with self._database.write() as db:
            user_id = _held(db, name).user.id
            logins.replace_codes(db, user_id, recovery_codes.hashes(user_id, made), self._now_ms())
            self._record(db, AuditEvent.RECOVERY_CODES_MADE, name)
        return made

    def unlock(self, name: str) -> None:
        """Unlock an account and end its throttles, for all networks."""
        with self._database.write() as db:
            state = _held(db, name).state
            state.failures, state.keyless_failures, state.locked_ms = 0, 0, None
            penalties.forget_user(db, name)
            self._record(db, AuditEvent.ACCOUNT_UNLOCKED, name)

    def sessions(self, name: str | None = None) -> list[SessionView]:
        """Return the running sessions, of one account or every account, by name and age."""
        with self._database.read() as db:
            if name is not None:
                find_user(db, name)
            return [
                SessionView(
                    each.id,
                    user,
                    each.created_ms,
                    each.used_ms,
                    each.expires_ms,
                    each.address,
                    how(each.ssh_key),
                    each.device,
                )
                for user, each in sessions.everybodys(db, self._now_ms())
                if name in (None, user)
            ]

    def revoke(self, ids: list[int]) -> None:
        """End sessions by number; `NotFoundError`, and no session ends, if one does not exist."""
        with self._database.write() as db:
            running = {each.id: user for user, each in sessions.everybodys(db, self._now_ms())}
            for number in dict.fromkeys(ids):
                if number not in running:
                    raise NotFoundError(
                        f"There is no running session {number}; none was ended.",
                        hint="'fsadmin sessions' shows all.",
                    )
                sessions.end(db, number)
                self._record(db, AuditEvent.SESSIONS_ENDED, running[number], f"session {number}")

    def revoke_all(self, name: str) -> int:
        """End all sessions of an account; return how many were running."""
        with self._database.write() as db:
            user = _held(db, name).user
            count = len(sessions.of_user(db, user.id, self._now_ms()))
            sessions.end_all(db, user.id)
            self._record(db, AuditEvent.SESSIONS_ENDED, name, "all")
        return count

    def _record(self, db: Db, event: AuditEvent, name: str, detail: str = "") -> None:
        self._audit.record(db, event, actor=self._actor, subject=name, detail=detail)


def _held(db: Db, name: str) -> Account:
    """Return an account, locked against concurrent logins."""
    user = find_user(db, name)
    logins.hold(db, name)
    return Account(user, logins.state(db, user.id))
