"""Use cases of account owners: enrolling, logging in, recovering keys, logging out.

A refused login is always answered with `LoginRefused` and no reason. The listener sends the answer
at a fixed time after the request, so that neither text nor time tell an unknown user from a wrong
code (see `fsd.net.timing`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.auth.vault import Vault
from fsd.policies import LoginPolicy, QuotaPolicy
from fsd.principal import Principal
from fsd.services.files.key_log import KeyLogWriter
from fsd.services.login import key_backup
from fsd.services.login.attempts import (
    Attempt,
    Attempts,
    KeysReplaced,
    RefusalReason,
    RefusedAttempt,
    check_is_in,
    sanitise_user,
)
from fsd.services.login.codes import Codes, CodeUsed
from fsd.services.login.identities import checked_bundle, plant, register, signed_by
from fsd.services.login.last_seen import check_not_behind
from fsd.services.login.own_account import OwnAccount
from fsd.services.login.signatures import LoginSignatures
from fsd.services.login.ssh_login import SshLoginService
from fsd.services.login.tickets import TicketLogin
from fsd.services.login.welcome import Entered, SessionStarter
from fsd.store.engine import Database
from fsd.store.repos import logins, sessions, users
from fsproto import labels
from fsproto.errors import BehindError, LoginRefused
from fsproto.messages.account import Enroll, LastSeen, Login, Recover, Recovery
from fsproto.types import Random

log = logging.getLogger(__name__)


class LoginService:
    """Enrolling and logging in; all calls block, none uses sockets."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        *,
        audit: AuditLog,
        policy: LoginPolicy,
        log: KeyLogWriter,
        now_ms: Callable[[], int],
        random: Random,
        quota: QuotaPolicy | None = None,
        admit: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Take the parts.

        `admit` gets the id of a user who resumes a session, and raises `OutOfSpaceError` if the
        user has too many connections; the login then changes nothing.
        """
        self._database = database
        self._audit = audit
        self._log = log
        self._now_ms = now_ms
        self._attempts = Attempts(
            database, audit, Codes(vault, most_drift_ms=policy.most_drift_ms), policy
        )
        self._signatures = LoginSignatures(database, random)
        self._starter = SessionStarter(log, policy, admit=admit, now_ms=now_ms, random=random)
        self._tickets = TicketLogin(database, self._attempts, self._signatures, self._starter)
        self.own = OwnAccount(
            database,
            vault,
            self._attempts,
            log=log,
            policy=policy,
            now_ms=now_ms,
            random=random,
            quota=quota or QuotaPolicy(),
        )
        """Use cases of logged-in users on their own account."""
        self.ssh = SshLoginService(database, self._attempts, policy, now_ms=now_ms, random=random)
        """Logging in over SSH."""

    def login(self, ask: Login, channel_id: bytes, address: str) -> Entered:
        """Log a user in with a one-time password or a ticket, and always the identity key."""
        a_try = self._try(ask.user, address, ask.device)
        try:
            if ask.otp is None:
                return self._tickets.resume(ask, a_try, channel_id)
            return self._with_code(ask, ask.otp, a_try, channel_id)
        except LoginRefused:
            replaced_ms = self._signatures.replaced_ms(a_try, ask, channel_id)
            if replaced_ms is None:
                raise
        at = datetime.fromtimestamp(replaced_ms / 1000, UTC)
        raise KeysReplaced(
            f"THE KEYS OF THIS ACCOUNT WERE REPLACED on {at:%Y-%m-%d %H:%M} UTC; "
            "this device has the old ones."
        )

    def _with_code(self, ask: Login, code: str, a_try: Attempt, channel_id: bytes) -> Entered:
        known = self._signatures.by_identity(a_try, ask, labels.SIGN_LOGIN, channel_id)
        if known and ask.seen is not None:
            self._check_not_behind(a_try, ask.seen)
        with self._attempts.begin(a_try, known=known, event=AuditEvent.LOGIN) as attempt:
            attempt.match(code)
            user, db = attempt.user, attempt.db
            bundle = attempt.bundle
            if not known:
                raise attempt.refusal(RefusalReason.NO_KEY)
            if ask.ticket is not None:
                raise RefusedAttempt(RefusalReason.MALFORMED)
            attempt.use_code()
            return self._starter.start(db, user, bundle.ed25519, a_try)

    def _check_not_behind(self, a_try: Attempt, seen: LastSeen) -> None:
        """Raise `BehindError` before a code is used for a login that the client would refuse."""
        try:
            with self._database.read() as db:
                check_not_behind(db, a_try.user, seen)
        except BehindError:
            log.warning("login not started: the client has seen newer states", extra=a_try.shown)
            raise

    def enroll(self, ask: Enroll, channel_id: bytes, address: str) -> Entered:
        """Register a user's first keys and empty tree, with a one-time password."""
        a_try = self._try(ask.user, address, ask.device)
        # An attempt signed with registered keys has its own throttle lane.
        known = self._signatures.by_identity(a_try, ask, labels.SIGN_ENROLL, channel_id)
        with self._attempts.begin(a_try, known=known, event=AuditEvent.ENROLLED) as attempt:
            bundle = checked_bundle(ask)
            key = bundle.body.ed25519
            if not signed_by(key, ask.signature, labels.SIGN_ENROLL, channel_id, ask.user):
                raise RefusedAttempt(RefusalReason.MALFORMED)
            attempt.match(ask.otp)
            user, db = attempt.user, attempt.db
            before = users.bundle(db, user.id)
            if before is not None and before.payload != bundle.signed.payload:
                raise attempt.refusal(RefusalReason.OTHER_KEYS)
            attempt.use_code()
            # The same keys again: the client did not receive the answer to its enrolment.
            if before is None:
                register(db, user.id, bundle, a_try.at_ms)
                self._log.enrolled(db, user.name, bundle.hash, key)
                plant(db, user, ask.tree, key)
            return self._starter.start(db, user, key, a_try, enrols=True)

    def recover(self, ask: Recover, channel_id: bytes, address: str) -> tuple[CodeUsed, Recovery]:
        """Return a user's key backup, for a code and a signature by the recovery phrase."""
        a_try = self._try(ask.user, address)
        # Like the identity key, the recovery phrase has its own throttle lane.
        known = self._signatures.by_phrase(a_try, ask, channel_id)
        event = AuditEvent.BACKUP_HANDED_OUT
        with self._attempts.begin(a_try, known=known, event=event) as attempt:
            attempt.match(ask.otp)
            user, db = attempt.user, attempt.db
            backup = key_backup.find(db, user)
            if backup is None:
                raise RefusedAttempt(RefusalReason.NO_BACKUP)
            if not known:
                raise attempt.refusal(RefusalReason.NO_KEY)
            attempt.use_code()
            logins.notify(db, user.id, event.value, a_try.at_ms, a_try.address)
            return CodeUsed(user.id), Recovery(backup.sealed)

    def log_in_after_code(
        self, used: CodeUsed, ask: Login, channel_id: bytes, address: str
    ) -> Entered:
        """Log in a user who consumed a code on this connection and proves to hold the identity key.

        The code was consumed for the backup of that key, or for an SSH login.
        """
        a_try = self._try(ask.user, address, ask.device)
        known = self._signatures.by_identity(a_try, ask, labels.SIGN_LOGIN, channel_id)
        with self._attempts.begin(a_try, known=known, event=AuditEvent.LOGIN) as attempt:
            user, db = attempt.user, attempt.db
            if user.id != used.user_id:
                raise RefusedAttempt(RefusalReason.UNKNOWN)
            bundle = attempt.bundle
            check_is_in(user, a_try)
            if ask.otp is not None or ask.ticket is not None:
                raise RefusedAttempt(RefusalReason.MALFORMED)
            if not known:
                raise RefusedAttempt(RefusalReason.NO_KEY)
            return self._starter.start(db, user, bundle.ed25519, a_try)

    def logout(self, who: Principal) -> None:
        """End the session for good."""
        with self._database.write() as db:
            sessions.end(db, who.session_id)
            self._audit.record_own(db, AuditEvent.LOGOUT, who)
        log.info("logged out", extra={"user": who.user})

    def now_ms(self) -> int:
        """Return the time of the server's clock, Unix time in milliseconds."""
        return self._now_ms()

    def still_in(self, who: Principal) -> bool:
        """Return whether a connection's session is still valid and its user may log in.

        After a rotation, the connection that brought the new keys has to log in with them.
        """
        with self._database.read() as db:
            key = sessions.key_of_login(db, who.session_id, who.user_id, self._now_ms())
            return key is not None and key == who.ed25519

    def _try(self, user: str, address: str, device: str = "") -> Attempt:
        return Attempt(sanitise_user(user), address, self._now_ms(), device=device)
