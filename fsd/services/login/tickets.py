"""Logins with the ticket of a running session.

A ticket is 256 random bits and useless without the identity key, so it cannot be guessed. Such
attempts are neither counted nor throttled; otherwise guesses could end a session.
"""

from __future__ import annotations

import logging

from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.services.login.attempts import Attempt, Attempts
from fsd.services.login.signatures import LoginSignatures, named
from fsd.services.login.welcome import NOTE_WITHIN_S, TOUCH_MS, Entered, SessionStarter, new_notices
from fsd.store import models
from fsd.store.engine import Database, DatabaseError
from fsd.store.repos import logins, sessions, users
from fsproto import crypto, labels
from fsproto.errors import LoginRefused, OutOfSpaceError
from fsproto.messages.account import Login

log = logging.getLogger(__name__)


class TicketLogin:
    """Resumes sessions; most resumptions write nothing to the database."""

    def __init__(
        self,
        database: Database,
        attempts: Attempts,
        signatures: LoginSignatures,
        starter: SessionStarter,
    ) -> None:
        self._database = database
        self._attempts = attempts
        self._signatures = signatures
        self._starter = starter

    def resume(self, ask: Login, a_try: Attempt, channel_id: bytes) -> Entered:
        """Resume the session of a ticket; `LoginRefused` without it, or without the key."""
        with self._database.read() as db:
            user, bundle = named(db, a_try)
            signed = self._signatures.by_bundle(bundle, ask, labels.SIGN_LOGIN, channel_id)
            held = _holder(db, user, bundle, ask, a_try)
            if held is not None and signed and not _to_note(db, held[1], a_try):
                log.info("logged in", extra=a_try.shown)
                return self._starter.welcome(db, *held)
        if held is None:
            log.warning("login refused", extra=a_try.shown)
            raise LoginRefused
        try:
            entered = self._noted(ask, a_try, signed=signed)
        except (DatabaseError, OutOfSpaceError) as error:
            # A note never decides whether a session continues: a full disk must not stop reads.
            log.warning("the use of a session was not noted", extra={"reason": error.sentence})
            entered = self._unnoted(ask, a_try) if signed else None
        if entered is None:
            raise LoginRefused
        return entered

    def _noted(self, ask: Login, a_try: Attempt, *, signed: bool) -> Entered | None:
        """Note the use of a session, or of its ticket without the key; None refuses the login."""
        with self._database.write(NOTE_WITHIN_S) as db:
            logins.hold(db, a_try.user)
            held = _holder(db, *named(db, a_try), ask, a_try)
            if held is None:
                return None
            if signed:
                return self._note(db, *held, a_try)
            self._attempts.record(db, AuditEvent.TICKET_WITHOUT_KEY, a_try)
            told = AuditEvent.TICKET_WITHOUT_KEY.value
            logins.notify(db, held[0].id, told, a_try.at_ms, a_try.address)
        log.warning("login refused: a ticket without its identity key", extra=a_try.shown)
        return None

    def _unnoted(self, ask: Login, a_try: Attempt) -> Entered | None:
        """Continue a session without a note; notices wait for a login that can mark them read."""
        with self._database.read() as db:
            held = _holder(db, *named(db, a_try), ask, a_try)
            if held is None:
                return None
            log.info("logged in", extra=a_try.shown)
            return self._starter.welcome(db, *held)

    def _note(self, db: Db, user: models.User, session: models.Session, a_try: Attempt) -> Entered:
        if session.address != a_try.address:
            detail = f"before from {session.address}"
            self._attempts.record(db, AuditEvent.SESSION_MOVED, a_try, detail)
        sessions.touch(db, session.id, a_try.at_ms, a_try.address)
        log.info("logged in", extra=a_try.shown)
        return self._starter.welcome(db, user, session, told=new_notices(db, session, a_try.at_ms))


def _holder(
    db: Db, user: models.User | None, bundle: models.Bundle | None, ask: Login, a_try: Attempt
) -> tuple[models.User, models.Session] | None:
    """Return the owner of a ticket's session, if that is the user that the attempt names."""
    session = sessions.by_ticket(db, crypto.sha256(ask.ticket or b""), a_try.at_ms)
    if user is None or bundle is None or session is None or users.is_out(user, a_try.at_ms):
        return None
    if session.user_id != user.id or session.ed25519 != bundle.ed25519:
        return None
    return user, session


def _to_note(db: Db, session: models.Session, a_try: Attempt) -> bool:
    """Return whether resuming a session needs a write to the database."""
    moved = session.address != a_try.address
    rested = a_try.at_ms - session.used_ms >= TOUCH_MS
    waiting = logins.notices(db, session.user_id, session.id, a_try.at_ms)
    return moved or rested or bool(waiting)
