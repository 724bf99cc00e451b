"""Login attempts: throttled, decided, counted, recorded.

    with attempts.begin(a_try, known=…, event=AuditEvent.LOGIN) as attempt:
        attempt.match(code)       # the same work for an unknown name
        user = attempt.user       # raises for such a name
        …                         # other reasons to refuse, which consume no code
        attempt.use_code()
        …                         # what the code was for, in the same transaction

Every refused client gets `LoginRefused` and no reason. The reason goes to the audit log only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.auth.recovery_codes import LOW
from fsd.auth.throttle import Allowance, Lane, lanes, network_of
from fsd.policies import LoginPolicy
from fsd.services.login.codes import Account, CodeKind, Codes, Match, OffCode
from fsd.store.engine import Database
from fsd.store.login_models import LoginState
from fsd.store.models import Bundle, User
from fsd.store.repos import logins, penalties, users
from fsproto.errors import FsError, LoginRefused, SecurityError
from fsproto.names import is_user

log = logging.getLogger(__name__)

_DONE = {
    AuditEvent.LOGIN: "logged in",
    AuditEvent.ENROLLED: "logged in",
    AuditEvent.BACKUP_HANDED_OUT: "handed out a backup",
    AuditEvent.BACKUP_KEPT: "kept a backup of keys",
    AuditEvent.KEYS_ROTATED: "keys rotated",
}
"""The text in the audit log for each result of an attempt."""
CODES_LOW = "recovery-codes-low"
"""Kind of the notice that few recovery codes are left."""


class LoginPath(StrEnum):
    """The listener at which an attempt was made."""

    NATIVE = "native"
    SSH = "ssh"
    """Which asks for a code, and not for the identity key."""


class RefusalReason(StrEnum):
    """The reason for a refused attempt, as the audit log names it."""

    WRONG = "wrong code"
    USED = "code used before"
    NO_KEY = "not signed by the identity key"
    UNKNOWN = "no such user"
    DISABLED = "disabled"
    EXPIRED = "expired"
    LOCKED = "locked"
    NOT_ENROLLED = "not enrolled"
    NO_BACKUP = "no backup of these keys"
    OTHER_KEYS = "enrolled with other keys"
    MALFORMED = "malformed"
    DAMAGED = "a damaged record of ours"


class RefusedAttempt(LoginRefused):
    """A login that was refused, and what follows from that; the person is not told which it was."""

    def __init__(
        self, why: RefusalReason, *, right_code: bool = False, off: OffCode | None = None
    ) -> None:
        """Take the reason, and whether the code was right all the same, used before or not.

        `off`: the code is wrong now and right at another time.
        """
        super().__init__(LoginRefused().sentence)
        self.why = why
        self.right_code = right_code
        self.off = off


class KeysReplaced(LoginRefused):
    """A login with keys that the account has replaced; only their holder gets this answer."""


class Throttled(LoginRefused):
    """Too many were refused; this one was not even looked at."""


@dataclass(frozen=True)
class Attempt:
    """A login attempt."""

    user: str
    """The name, or the placeholder for all invalid names."""
    address: str
    at_ms: int
    door: LoginPath = LoginPath.NATIVE
    device: str = ""
    """The name that the user gives to the device, for a new session."""

    @property
    def network(self) -> str:
        """The network of the client, against which refusals are counted."""
        return network_of(self.address)

    @property
    def shown(self) -> dict[str, str]:
        """The text for the audit log."""
        shown = {"user": self.user, "address": self.address}
        return shown if self.door is LoginPath.NATIVE else {**shown, "door": self.door}


class OpenAttempt:
    """An attempt that is being decided, with its lanes and the login state locked."""

    def __init__(
        self, attempts: Attempts, codes: Codes, db: Db, a_try: Attempt, state: LoginState | None
    ) -> None:
        self.db = db
        """The transaction of the attempt; a refusal rolls it back."""
        user = users.by_name(db, a_try.user)
        self._account = None if user is None or state is None else Account(user, state)
        self._attempts = attempts
        self._codes = codes
        self._a_try = a_try
        self._match: Match | None = None
        self._off: OffCode | None = None

    @property
    def account(self) -> Account:
        """The account that the attempt names; `RefusedAttempt` if there is none."""
        if self._account is None:
            raise RefusedAttempt(RefusalReason.UNKNOWN)
        return self._account

    @property
    def user(self) -> User:
        """The user that the attempt names; `RefusedAttempt` if there is none."""
        return self.account.user

    @property
    def bundle(self) -> Bundle:
        """The keys of that user; `RefusedAttempt` if the user has not enrolled."""
        found = users.bundle(self.db, self.user.id)
        if found is None:
            raise RefusedAttempt(RefusalReason.NOT_ENROLLED)
        return found

    def match(self, code: str) -> CodeKind | None:
        """Match a code as typed, without consuming it; None if it is not a code of the account.

        For a name that no user has, it takes as long.
        """
        a_try = self._a_try
        self._match = self._codes.match(self.db, self._account, code, a_try.at_ms)
        if self._match is None:
            self._off = self._codes.at_another_time(self.db, self._account, code, a_try.at_ms)
        return self._match.kind if self._match else None

    def refusal(self, why: RefusalReason) -> RefusedAttempt:
        """Return the error for another reason to refuse than the code."""
        return RefusedAttempt(why, right_code=self._match is not None)

    def use_code(self) -> None:
        """Consume the matched code; `RefusedAttempt` if it is wrong, used or does not count."""
        account, match, a_try, db = self.account, self._match, self._a_try, self.db
        check_is_in(account.user, a_try)
        if account.state.locked_ms is not None or self._attempts.is_shut(account.state, a_try):
            raise RefusedAttempt(RefusalReason.LOCKED)
        if match is None:
            raise RefusedAttempt(RefusalReason.WRONG, off=self._off)
        if not self._codes.use(db, account, match, a_try.at_ms):
            raise RefusedAttempt(
                RefusalReason.USED, right_code=self._codes.was_used(db, account, match)
            )
        account.state.last_network = a_try.network
        if match.kind is CodeKind.NEXT:
            self._attempts.record(db, AuditEvent.SECRET_REPLACED, a_try, "the new one was used")
        elif match.kind is CodeKind.RECOVERY:
            left = logins.codes_left(db, account.user.id)
            self._attempts.record(db, AuditEvent.RECOVERY_CODE_USED, a_try, f"{left} are left")
            if left <= LOW:
                logins.set_notice(db, account.user.id, CODES_LOW, left, a_try.at_ms)


class Attempts:
    """The decision on login attempts, one after the other in each lane."""

    def __init__(
        self, database: Database, audit: AuditLog, codes: Codes, policy: LoginPolicy
    ) -> None:
        self._database = database
        self._audit = audit
        self._codes = codes
        self._policy = policy

    @contextmanager
    def begin(
        self,
        a_try: Attempt,
        *,
        known: bool,
        event: AuditEvent | None,
        hold: Callable[[Db], object] | None = None,
    ) -> Iterator[OpenAttempt]:
        """Decide one attempt in the block; its errors refuse the attempt, and are counted.

        `known`: the account's identity key signed the attempt. Attempts in one lane are decided
        one after another, so concurrent attempts gain nothing over sequential ones. `hold` locks
        what must be locked before the login state. Raises `Throttled` before the block.
        """
        among = lanes(a_try.user, a_try.network, known=known)
        refused: FsError | None = None
        with self._database.read() as db:
            self._check(db, a_try, among)  # throttled attempts never take the write lock
        with self._database.write() as db:
            penalties.hold(db, among)
            self._check(db, a_try, among)
            if hold is not None:
                hold(db)
            state = logins.hold(db, a_try.user)
            try:
                with db.begin_nested():
                    yield OpenAttempt(self, self._codes, db, a_try, state)
                self._passed(db, a_try, state, event, known=known)
            except (LoginRefused, SecurityError) as error:
                refused = error
                self._failed(db, a_try, among, state, error)
        if refused is not None:
            raise refused
        log.info(
            _DONE.get(event or AuditEvent.SECRET_REPLACED, "a code was used"), extra=a_try.shown
        )

    def record(self, db: Db, event: AuditEvent, a_try: Attempt, detail: str = "") -> None:
        """Record the result of an attempt; name the listener unless it is the native one."""
        if a_try.door is not LoginPath.NATIVE:
            detail = f"door={a_try.door}, {detail}" if detail else f"door={a_try.door}"
        self._audit.record_own(db, event, a_try, detail)

    def is_shut(self, state: LoginState, a_try: Attempt) -> bool:
        """Return whether an account's codes are accepted only with its identity key."""
        return a_try.door is LoginPath.SSH and state.keyless_failures >= self._policy.most_failures

    def _check(self, db: Db, a_try: Attempt, among: list[Lane]) -> None:
        if any(penalties.of(db, lane).holds(a_try.at_ms) for lane in among):
            log.warning("login throttled", extra=a_try.shown)
            raise Throttled

    def _passed(
        self,
        db: Db,
        a_try: Attempt,
        state: LoginState | None,
        event: AuditEvent | None,
        *,
        known: bool,
    ) -> None:
        """Delete the penalty of the user's own lane, never that of a lane that others share."""
        penalties.forget(db, Lane(a_try.user, "" if known else a_try.network))
        if state is not None:
            state.keyless_failures = 0
            if a_try.door is LoginPath.NATIVE:
                state.failures = 0
        if event is not None:
            self.record(db, event, a_try)

    def _failed(
        self, db: Db, a_try: Attempt, among: list[Lane], state: LoginState | None, error: FsError
    ) -> None:
        why = error.why if isinstance(error, RefusedAttempt) else RefusalReason.DAMAGED
        # Damage in the server's own records must not count as a wrong code.
        reason = f": {error.sentence}" if isinstance(error, SecurityError) else ""
        log.warning("login refused%s", reason, extra=a_try.shown)
        off = error.off if isinstance(error, RefusedAttempt) else None
        self.record(db, AuditEvent.LOGIN_REFUSED, a_try, f"{why}: {off.told}" if off else why)
        for lane in among:
            before = penalties.of(db, lane)
            penalties.put(db, lane, before.after_refusal(self._allowance(lane), a_try.at_ms))
        if state is None:
            return
        db.refresh(state)  # the savepoint rolled it back
        if off is not None and not off.used:
            state.off_ms, state.off_at_ms = off.off_ms, a_try.at_ms
        if isinstance(error, RefusedAttempt) and error.right_code:
            self._tell(db, a_try, state, why)
        if why in (RefusalReason.WRONG, RefusalReason.USED) and a_try.door is LoginPath.SSH:
            self._failed_without_key(db, a_try, state)
        elif why in (RefusalReason.WRONG, RefusalReason.USED):
            state.failures += 1
            if state.failures >= self._policy.most_failures and state.locked_ms is None:
                state.locked_ms = a_try.at_ms
                self.record(
                    db, AuditEvent.ACCOUNT_LOCKED, a_try, f"after {state.failures} refusals"
                )

    def _failed_without_key(self, db: Db, a_try: Attempt, state: LoginState) -> None:
        """Count a refused attempt without the identity key: it locks only the listener in use.

        A client with the identity key can still log in at the native listener; that login unlocks
        both listeners.
        """
        state.keyless_failures += 1
        if state.keyless_failures == self._policy.most_failures:
            detail = f"this door alone, after {state.keyless_failures} refusals"
            self.record(db, AuditEvent.ACCOUNT_LOCKED, a_try, detail)

    def _tell(self, db: Db, a_try: Attempt, state: LoginState, why: RefusalReason) -> None:
        """Record a notice for the user that another party had a correct code."""
        if why is RefusalReason.USED:
            if a_try.network == state.last_network:
                return  # as when a user runs two commands within one step
            event = AuditEvent.CODE_REPLAYED
        elif why in (RefusalReason.NO_KEY, RefusalReason.OTHER_KEYS):
            event = AuditEvent.CODE_WITHOUT_KEY
        else:
            return
        self.record(db, event, a_try)
        logins.notify(db, state.user_id, event.value, a_try.at_ms, a_try.address)

    def _allowance(self, lane: Lane) -> Allowance:
        policy = self._policy
        free = policy.free_tries if lane.user else policy.source_free_tries
        return Allowance(free, policy.first_wait_ms, policy.longest_wait_ms, policy.forget_ms)


def check_is_in(user: User, a_try: Attempt) -> None:
    """Raise `RefusedAttempt` if an account is disabled or has expired."""
    if user.disabled:
        raise RefusedAttempt(RefusalReason.DISABLED)
    if users.is_expired(user.expires_ms, a_try.at_ms):
        raise RefusedAttempt(RefusalReason.EXPIRED)


def session_ends_ms(user: User, at_ms: int, policy: LoginPolicy) -> int:
    """Return when a session that starts now ends: at the latest when the account expires."""
    ends_ms = at_ms + policy.session_ms
    return ends_ms if user.expires_ms is None else min(ends_ms, user.expires_ms)


def sanitise_user(user: str) -> str:
    """Return the name if it is a valid user name, else a name that no user can have.

    An invalid name from an unauthenticated client never reaches a query, a log or the table of
    penalties: a very long name would fill them and a NUL would break them.
    """
    return user if is_user(user) else "?"
