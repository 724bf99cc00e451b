"""Use cases of account owners: enrolling, logging in, logging out.

A refused login is always answered with `LoginRefused` and no reason. The listener sends the answer
at a fixed time after the request, so that neither text nor time tell an unknown user from a wrong
code (see `fsd.net.timing`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy.orm import Session as Db

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
    session_ends_ms,
)
from fsd.services.login.codes import Account, Codes, CodeUsed
from fsd.services.login.identities import checked_bundle, plant, register, signed_by
from fsd.services.login.own_account import OwnAccount
from fsd.services.login.ssh_login import SshLoginService
from fsd.store import models
from fsd.store.engine import Database, DatabaseError
from fsd.store.login_models import LoginState
from fsd.store.repos import logins, nodes, sessions, users
from fsproto import crypto, labels
from fsproto.errors import LoginRefused, OutOfSpaceError
from fsproto.messages.account import (
    Enroll,
    Login,
    Notice,
    Recover,
    Recovery,
    TreeRoot,
    Welcome,
)
from fsproto.signed import Signed
from fsproto.types import Random

log = logging.getLogger(__name__)

TICKET_SIZE = 32
_FORMER = 1 + 8
"""Keys of an account, the newest first, that a refused login is compared with."""
TOUCH_MS = 10 * 60_000
"""Accuracy of the time at which a session was last resumed."""


_Entered = tuple[Principal, Welcome]


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
    ) -> None:
        """Take the parts, and make the decoy that replaces users who do not exist."""
        self._database = database
        self._audit = audit
        self._policy = policy
        self._log = log
        self._now_ms = now_ms
        self._random = random
        self._codes = Codes(vault, most_drift_ms=policy.most_drift_ms)
        self._attempts = Attempts(database, audit, self._codes, policy)
        self._decoy_key = crypto.SigningKey(random(crypto.ED25519_SIZE)).public
        self.own = OwnAccount(
            database,
            vault,
            self._attempts,
            self._codes,
            log=log,
            policy=policy,
            now_ms=now_ms,
            random=random,
            quota=quota or QuotaPolicy(),
        )
        """Use cases of logged-in users on their own account."""
        self.ssh = SshLoginService(
            database, self._attempts, self._codes, policy, now_ms=now_ms, random=random
        )
        """Logging in over SSH."""

    def login(self, ask: Login, channel_id: bytes, address: str) -> tuple[Principal, Welcome]:
        """Log a user in with a one-time password or a ticket, and always the identity key."""
        a_try = Attempt(sanitise_user(ask.user), address, self._now_ms())
        try:
            return self._decide(ask, a_try, channel_id)
        except LoginRefused:
            replaced_ms = self._replaced_ms(a_try, ask, channel_id)
            if replaced_ms is None:
                raise
        at = datetime.fromtimestamp(replaced_ms / 1000, UTC)
        raise KeysReplaced(
            f"THE KEYS OF THIS ACCOUNT WERE REPLACED on {at:%Y-%m-%d %H:%M} UTC; "
            "this device has the old ones."
        )

    def _decide(self, ask: Login, a_try: Attempt, channel_id: bytes) -> _Entered:
        # A ticket is 256 random bits and useless without the identity key, so it cannot be guessed.
        # Such attempts are neither counted nor throttled; otherwise guesses could end a session.
        if ask.otp is None:
            return self._go_on(ask, a_try, channel_id)
        known = self._is_known(a_try, ask, labels.SIGN_LOGIN, channel_id)
        return self._attempts.attempt(
            a_try,
            lambda db, state: self._login(db, state, ask, a_try, signed=known),
            known=known,
            event=AuditEvent.LOGIN,
        )

    def enroll(self, ask: Enroll, channel_id: bytes, address: str) -> tuple[Principal, Welcome]:
        """Register a user's first keys and empty tree, with a one-time password."""
        a_try = Attempt(sanitise_user(ask.user), address, self._now_ms())
        # An attempt signed with registered keys has its own throttle lane.
        known = self._is_known(a_try, ask, labels.SIGN_ENROLL, channel_id)
        return self._attempts.attempt(
            a_try,
            lambda db, state: self._enroll(db, state, ask, channel_id, a_try),
            known=known,
            event=AuditEvent.ENROLLED,
        )

    def recover(self, ask: Recover, channel_id: bytes, address: str) -> tuple[CodeUsed, Recovery]:
        """Return a user's key backup, for a code and a signature by the recovery phrase."""
        a_try = Attempt(sanitise_user(ask.user), address, self._now_ms())
        # Like the identity key, the recovery phrase has its own throttle lane.
        known = self._knows_the_phrase(a_try, ask, channel_id)
        return self._attempts.attempt(
            a_try,
            lambda db, state: self._recover(db, state, ask, a_try, signed=known),
            known=known,
            event=AuditEvent.BACKUP_HANDED_OUT,
        )

    def log_in_after_code(
        self, used: CodeUsed, ask: Login, channel_id: bytes, address: str
    ) -> tuple[Principal, Welcome]:
        """Log in a user who consumed a code on this connection and proves to hold the identity key.

        The code was consumed for the backup of that key, or for an SSH login.
        """
        a_try = Attempt(sanitise_user(ask.user), address, self._now_ms())
        known = self._is_known(a_try, ask, labels.SIGN_LOGIN, channel_id)
        return self._attempts.attempt(
            a_try,
            lambda db, _: self._log_in_after_code(db, used, ask, a_try, signed=known),
            known=known,
            event=AuditEvent.LOGIN,
        )

    def logout(self, who: Principal) -> None:
        """End the session for good."""
        with self._database.write() as db:
            sessions.end(db, who.session_id)
            self._audit.record_own(db, AuditEvent.LOGOUT, who)
        log.info("logged out", extra={"user": who.user})

    def still_in(self, who: Principal) -> bool:
        """Return whether a connection's session is still valid and its user may log in.

        After a rotation, the connection that brought the new keys has to log in with them.
        """
        with self._database.read() as db:
            user = db.get(models.User, who.user_id)
            session, now_ms = db.get(models.Session, who.session_id), self._now_ms()
            holds = session is not None and session.expires_ms > now_ms
            same = session is not None and session.ed25519 == who.ed25519
            return user is not None and not users.is_out(user, now_ms) and holds and same

    # --- one attempt

    def _knows_the_phrase(self, a_try: Attempt, ask: Recover, channel_id: bytes) -> bool:
        """Return whether an attempt is signed by the recovery phrase of the account's backup."""
        with self._database.read() as db:
            backup = key_backup.find(db, users.by_name(db, a_try.user))
        key = backup.recovery_key if backup else self._decoy_key
        signed = signed_by(key, ask.signature, labels.SIGN_RECOVER, channel_id, ask.user)
        return signed and backup is not None

    def _is_known(
        self, a_try: Attempt, ask: Login | Enroll, label: bytes, channel_id: bytes
    ) -> bool:
        """Return whether an attempt is signed by the account's current identity key."""
        with self._database.read() as db:
            _, bundle = _named(db, a_try)
        return self._has_signed(bundle, ask, label, channel_id)

    def _replaced_ms(self, a_try: Attempt, ask: Login, channel_id: bytes) -> int | None:
        """Return when the keys that signed an attempt were replaced; None if they were not."""
        with self._database.read() as db:
            user = users.by_name(db, a_try.user)
            newest, *former = users.latest_bundles(db, user.id, _FORMER) if user else [None]
        for bundle in former:
            if self._has_signed(bundle, ask, labels.SIGN_LOGIN, channel_id):
                return newest.created_ms if newest else None
        return None

    def _has_signed(
        self, bundle: models.Bundle | None, ask: Login | Enroll, label: bytes, channel_id: bytes
    ) -> bool:
        """Return whether the identity key signed an attempt; without a key it takes as long."""
        key = bundle.ed25519 if bundle else self._decoy_key
        return signed_by(key, ask.signature, label, channel_id, ask.user) and bundle is not None

    def _login(
        self, db: Db, state: LoginState | None, ask: Login, a_try: Attempt, *, signed: bool
    ) -> _Entered:
        account = _account(db, a_try, state)
        match = self._codes.match(db, account, ask.otp or "", a_try.at_ms)
        if account is None:
            raise RefusedAttempt(RefusalReason.UNKNOWN)
        user = account.user
        bundle = users.bundle(db, user.id)
        if bundle is None:
            raise RefusedAttempt(RefusalReason.NOT_ENROLLED)
        if not signed:
            raise RefusedAttempt(RefusalReason.NO_KEY, right_code=match is not None)
        if ask.ticket is not None:
            raise RefusedAttempt(RefusalReason.MALFORMED)
        self._attempts.use(db, account, match, a_try)
        session, ticket = self._new_session(db, user, bundle.ed25519, a_try)
        return self._welcome(db, user, session, ticket, _told(db, session, a_try.at_ms))

    def _enroll(
        self, db: Db, state: LoginState | None, ask: Enroll, channel_id: bytes, a_try: Attempt
    ) -> _Entered:
        bundle = checked_bundle(ask)
        key = bundle.body.ed25519
        if not signed_by(key, ask.signature, labels.SIGN_ENROLL, channel_id, ask.user):
            raise RefusedAttempt(RefusalReason.MALFORMED)
        account = _account(db, a_try, state)
        match = self._codes.match(db, account, ask.otp, a_try.at_ms)
        if account is None:
            raise RefusedAttempt(RefusalReason.UNKNOWN)
        user = account.user
        known = users.bundle(db, user.id)
        if known is not None and known.payload != bundle.signed.payload:
            raise RefusedAttempt(RefusalReason.OTHER_KEYS, right_code=match is not None)
        self._attempts.use(db, account, match, a_try)
        # The same keys again: the client did not receive the answer to its enrolment.
        if known is None:
            register(db, user.id, bundle, a_try.at_ms)
            self._log.enrolled(db, user.name, bundle.hash, key)
            plant(db, user, ask.tree, key)
        session, ticket = self._new_session(db, user, key, a_try)
        return self._welcome(db, user, session, ticket)

    def _recover(
        self, db: Db, state: LoginState | None, ask: Recover, a_try: Attempt, *, signed: bool
    ) -> tuple[CodeUsed, Recovery]:
        account = _account(db, a_try, state)
        match = self._codes.match(db, account, ask.otp, a_try.at_ms)
        if account is None:
            raise RefusedAttempt(RefusalReason.UNKNOWN)
        backup = key_backup.find(db, account.user)
        if backup is None:
            raise RefusedAttempt(RefusalReason.NO_BACKUP)
        if not signed:
            raise RefusedAttempt(RefusalReason.NO_KEY, right_code=match is not None)
        self._attempts.use(db, account, match, a_try)
        handed_out = AuditEvent.BACKUP_HANDED_OUT.value
        logins.notify(db, account.user.id, handed_out, a_try.at_ms, a_try.address)
        return CodeUsed(account.user.id), Recovery(backup.sealed)

    def _log_in_after_code(
        self,
        db: Db,
        used: CodeUsed,
        ask: Login,
        a_try: Attempt,
        *,
        signed: bool,
    ) -> _Entered:
        user = users.by_name(db, a_try.user)
        if user is None or user.id != used.user_id:
            raise RefusedAttempt(RefusalReason.UNKNOWN)
        bundle = users.bundle(db, user.id)
        if bundle is None:
            raise RefusedAttempt(RefusalReason.NOT_ENROLLED)
        check_is_in(user, a_try)
        if ask.otp is not None or ask.ticket is not None:
            raise RefusedAttempt(RefusalReason.MALFORMED)
        if not signed:
            raise RefusedAttempt(RefusalReason.NO_KEY)
        session, ticket = self._new_session(db, user, bundle.ed25519, a_try)
        return self._welcome(db, user, session, ticket, _told(db, session, a_try.at_ms))

    def _go_on(self, ask: Login, a_try: Attempt, channel_id: bytes) -> _Entered:
        """Let a ticket decide. That changes nothing, unless there is something to be noted."""
        with self._database.read() as db:
            user, bundle = _named(db, a_try)
            signed = self._has_signed(bundle, ask, labels.SIGN_LOGIN, channel_id)
            held = _holder(db, user, bundle, ask, a_try)
            if held is not None and signed and not _to_note(db, held[1], a_try):
                log.info("logged in", extra=a_try.shown)
                return self._welcome(db, *held)
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

    def _noted(self, ask: Login, a_try: Attempt, *, signed: bool) -> _Entered | None:
        """Note the use of a session, or of its ticket without the key; None refuses the login."""
        with self._database.write() as db:
            logins.hold(db, a_try.user)
            held = _holder(db, *_named(db, a_try), ask, a_try)
            if held is None:
                return None
            if signed:
                return self._note(db, *held, a_try)
            self._attempts.record(db, AuditEvent.TICKET_WITHOUT_KEY, a_try)
            told = AuditEvent.TICKET_WITHOUT_KEY.value
            logins.notify(db, held[0].id, told, a_try.at_ms, a_try.address)
        log.warning("login refused: a ticket without its identity key", extra=a_try.shown)
        return None

    def _unnoted(self, ask: Login, a_try: Attempt) -> _Entered | None:
        """Continue a session without a note; notices wait for a login that can mark them read."""
        with self._database.read() as db:
            held = _holder(db, *_named(db, a_try), ask, a_try)
            if held is None:
                return None
            log.info("logged in", extra=a_try.shown)
            return self._welcome(db, *held)

    def _note(self, db: Db, user: models.User, session: models.Session, a_try: Attempt) -> _Entered:
        if session.address != a_try.address:
            detail = f"before from {session.address}"
            self._attempts.record(db, AuditEvent.SESSION_MOVED, a_try, detail)
        sessions.touch(db, session.id, a_try.at_ms, a_try.address)
        log.info("logged in", extra=a_try.shown)
        return self._welcome(db, user, session, told=_told(db, session, a_try.at_ms))

    def _new_session(
        self, db: Db, user: models.User, ed25519: bytes, a_try: Attempt
    ) -> tuple[models.Session, bytes]:
        ticket = self._random(TICKET_SIZE)
        session = models.Session(
            ticket_hash=crypto.sha256(ticket),
            user_id=user.id,
            ed25519=ed25519,
            created_ms=a_try.at_ms,
            expires_ms=session_ends_ms(user, a_try.at_ms, self._policy),
            used_ms=a_try.at_ms,
            address=a_try.address,
        )
        db.add(session)
        db.flush()
        return session, ticket

    def _welcome(
        self,
        db: Db,
        user: models.User,
        session: models.Session,
        ticket: bytes | None = None,
        told: list[Notice] | None = None,
    ) -> _Entered:
        tree = users.tree(db, user.id)
        if tree is None:
            raise RefusedAttempt(RefusalReason.NOT_ENROLLED)
        (manifest,) = nodes.manifests(db, [tree.root_id])
        state = nodes.state(db, tree.root_id)
        root = TreeRoot(Signed(tree.payload, tree.signature), manifest, nodes.signed(state))
        who = Principal(user.id, user.name, session.ed25519, session.id, session.address)
        now_ms = self._now_ms()
        head = self._log.head(db)
        return who, Welcome(user.name, ticket, session.expires_ms, now_ms, root, head, told or [])


def _named(db: Db, a_try: Attempt) -> tuple[models.User | None, models.Bundle | None]:
    """Return the user that an attempt names, and the user's keys; None for each that is missing."""
    user = users.by_name(db, a_try.user)
    return user, users.bundle(db, user.id) if user else None


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


def _account(db: Db, a_try: Attempt, state: LoginState | None) -> Account | None:
    """Return the account that an attempt names."""
    user = users.by_name(db, a_try.user)
    return None if user is None or state is None else Account(user, state)


def _to_note(db: Db, session: models.Session, a_try: Attempt) -> bool:
    """Return whether resuming a session needs a write to the database."""
    moved = session.address != a_try.address
    rested = a_try.at_ms - session.used_ms >= TOUCH_MS
    waiting = logins.notices(db, session.user_id, session.id, a_try.at_ms)
    return moved or rested or bool(waiting)


def _told(db: Db, session: models.Session, now_ms: int) -> list[Notice]:
    """Return the notices for a session, which gets each only once."""
    told = [
        Notice(each.kind, each.at_ms, each.count, each.address)
        for each in logins.notices(db, session.user_id, session.id, now_ms)
    ]
    kinds = [each.kind for each in told]
    logins.note_told(db, session.user_id, session.id, kinds, now_ms)
    return told
