"""Logins over SSH: with a code, or with the key of a session that a code has started.

An SSH client has no identity key, so after login it may only carry the native protocol, which
requires that key itself. Codes are checked by the same modules as at the native listener
(`attempts`, `codes`), so a code consumed there is refused here, and the other way round.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.policies import LoginPolicy
from fsd.services.login.attempts import (
    Attempt,
    Attempts,
    LoginPath,
    sanitise_user,
)
from fsd.services.login.welcome import NOTE_WITHIN_S, TOUCH_MS, new_session
from fsd.store import models
from fsd.store.engine import Database, DatabaseError
from fsd.store.repos import logins, sessions, users
from fsproto import crypto
from fsproto.errors import OutOfSpaceError
from fsproto.limits import TICKET_SIZE
from fsproto.types import Random

log = logging.getLogger(__name__)

NO_KEY = b""
"""In place of a key's hash: the session ends with its connection."""


@dataclass(frozen=True)
class SshEntry:
    """A user logged in over SSH, and the session."""

    user_id: int
    user: str
    session_id: int
    address: str
    by_code: bool
    """Whether this connection consumed a code; otherwise it resumed a session."""
    lasts: bool
    """Whether the session outlives the connection, since it is bound to a key."""


class SshLoginService:
    """Logins over SSH; all calls block, and none uses the SSH protocol."""

    def __init__(
        self,
        database: Database,
        attempts: Attempts,
        policy: LoginPolicy,
        *,
        now_ms: Callable[[], int],
        random: Random,
    ) -> None:
        """`attempts` are those of the native listener."""
        self._database = database
        self._attempts = attempts
        self._policy = policy
        self._now_ms = now_ms
        self._random = random

    def with_code(self, user: str, code: str, ssh_key: bytes, address: str) -> SshEntry:
        """Log a user in with a one-time password or recovery code; `LoginRefused` otherwise.

        `ssh_key` is the SHA-256 of a public key that the client has proved to hold, or `NO_KEY`.
        Before the enrolment, the login is refused: the code is needed to enrol.
        """
        a_try = Attempt(sanitise_user(user), address, self._now_ms(), LoginPath.SSH)
        with self._attempts.begin(a_try, known=False, event=AuditEvent.LOGIN) as attempt:
            attempt.match(code)
            named, db = attempt.user, attempt.db
            bundle = attempt.bundle
            before = attempt.account.state.last_network
            attempt.use_code()
            if before != a_try.network:  # a code is enough here, so the user gets a notice
                told = AuditEvent.SSH_SESSION.value
                logins.notify(db, named.id, told, a_try.at_ms, a_try.address)
            session = self._new_session(db, named, bundle.ed25519, ssh_key, a_try)
            return _entry(named, session, a_try, by_code=True)

    def with_key(self, user: str, ssh_key: bytes, address: str) -> SshEntry | None:
        """Resume the session of a proved key (its SHA-256); None if there is none.

        For a key without a session, no look-up depends on the user.
        """
        a_try = Attempt(sanitise_user(user), address, self._now_ms(), LoginPath.SSH)
        with self._database.read() as db:
            found = _bound(db, ssh_key, a_try)
            if found is None:
                return None
            holder, session = found
            if not _to_note(session, a_try):
                log.info("logged in", extra=a_try.shown)
                return _entry(holder, session, a_try, by_code=False)
        try:
            return self._noted(ssh_key, a_try)
        except (DatabaseError, OutOfSpaceError) as error:
            # A note never decides whether a session continues: a full disk must not stop reads.
            log.warning("the use of a session was not noted", extra={"reason": error.sentence})
        with self._database.read() as db:
            found = _bound(db, ssh_key, a_try)
            if found is None:
                return None
            log.info("logged in", extra=a_try.shown)
            return _entry(*found, a_try, by_code=False)

    def _noted(self, ssh_key: bytes, a_try: Attempt) -> SshEntry | None:
        """Note the use of a session; None if it has ended in the meantime."""
        with self._database.write(NOTE_WITHIN_S) as db:
            logins.hold(db, a_try.user)
            found = _bound(db, ssh_key, a_try)
            if found is None:
                return None
            holder, session = found
            if session.address != a_try.address:
                detail = f"before from {session.address}"
                self._attempts.record(db, AuditEvent.SESSION_MOVED, a_try, detail)
            sessions.touch(db, session.id, a_try.at_ms, a_try.address)
            log.info("logged in", extra=a_try.shown)
            return _entry(holder, session, a_try, by_code=False)

    def running(self, ids: Collection[int]) -> set[int]:
        """Return those of some sessions that are still valid, of users who are not disabled."""
        if not ids:
            return set()
        with self._database.read() as db:
            return sessions.running(db, list(ids), self._now_ms())

    def left(self, entry: SshEntry) -> None:
        """End a session that was bound to its connection, which has ended."""
        if entry.lasts:
            return
        with self._database.write() as db:
            sessions.end(db, entry.session_id)

    def _new_session(
        self, db: Db, user: models.User, ed25519: bytes, ssh_key: bytes, a_try: Attempt
    ) -> models.Session:
        """Start a session; it replaces an earlier session of the same key."""
        if ssh_key:
            sessions.end_of_ssh_key(db, user.id, ssh_key)
            detail = f"bound to {crypto.as_fingerprint(ssh_key)}"
            self._attempts.record(db, AuditEvent.SSH_SESSION, a_try, detail)
        ticket = self._random(TICKET_SIZE)  # no client gets it
        return new_session(db, user, ed25519, a_try, self._policy, ticket=ticket, ssh_key=ssh_key)


def how(ssh_key: bytes | None) -> str:
    """Return the kind of a session: `native`, `ssh` or `ssh SHA256:…`."""
    if ssh_key is None:
        return "native"
    return f"ssh {crypto.as_fingerprint(ssh_key)}" if ssh_key else "ssh"


def _bound(db: Db, ssh_key: bytes, a_try: Attempt) -> tuple[models.User, models.Session] | None:
    """Return the session of a key, if it belongs to the user that the client names."""
    if ssh_key == NO_KEY:
        return None
    for user, session in sessions.by_ssh_key(db, ssh_key, a_try.at_ms):
        bundle = users.bundle(db, user.id)
        if user.name == a_try.user and not users.is_out(user, a_try.at_ms) and bundle is not None:
            return (user, session) if bundle.ed25519 == session.ed25519 else None
    return None


def _to_note(session: models.Session, a_try: Attempt) -> bool:
    return session.address != a_try.address or a_try.at_ms - session.used_ms >= TOUCH_MS


def _entry(
    user: models.User, session: models.Session, a_try: Attempt, *, by_code: bool
) -> SshEntry:
    lasts = bool(session.ssh_key)
    return SshEntry(user.id, user.name, session.id, a_try.address, by_code, lasts)
