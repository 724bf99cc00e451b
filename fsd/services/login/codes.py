"""The only module that consumes codes: one-time passwords and recovery codes.

Each use case that needs a code (login, enrolment, recovery codes, a new secret) calls it with the
account's login state locked. Checking a code and consuming it are separate steps, so that a request
with another error can be refused without the loss of the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sqlalchemy.orm import Session as Db

from fsd.auth import recovery_codes
from fsd.auth.otp import (
    OtpSetting,
    learned_drift,
    matching_step,
    new_secret,
    normalise_code,
    off_text,
    step_at_another_time,
)
from fsd.auth.vault import Vault
from fsd.store import models
from fsd.store.login_models import LoginState
from fsd.store.repos import logins, users


class CodeKind(Enum):
    """The kind of a code."""

    CURRENT = "a one-time password"
    NEXT = "a one-time password of the new secret"
    RECOVERY = "a recovery code"


@dataclass(frozen=True)
class Match:
    """A correct code, which may already be consumed."""

    kind: CodeKind
    step: int = 0
    code_hash: bytes = b""


@dataclass(frozen=True)
class OffCode:
    """A wrong code that is valid at another time: the user's clock is wrong, or the code is old."""

    off_ms: int
    """From now to the middle of its step; negative: the code is of the past."""
    used: bool
    """Whether it was used then: the code is old, and says nothing about the clock."""

    @property
    def told(self) -> str:
        """Return the text for the audit log."""
        when = off_text(self.off_ms)
        return f"a code of {when}, used then" if self.used else f"a code of {when}"


@dataclass(frozen=True)
class CodeUsed:
    """A user who consumed a code on this connection for another purpose.

    With the identity key, this user can log in once without another code.
    """

    user_id: int


@dataclass(frozen=True)
class Account:
    """A user and the locked login state."""

    user: models.User
    state: LoginState


class Codes:
    """The codes of the accounts."""

    def __init__(self, vault: Vault, *, most_drift_ms: int) -> None:
        """Take the vault that opens secrets, and the accepted clock error."""
        self._vault = vault
        self._most_drift_ms = most_drift_ms
        self._decoy = OtpSetting(new_secret())

    def match(self, db: Db, account: Account | None, typed: str, now_ms: int) -> Match | None:
        """Return the match of a code as typed; None if it is not a code of the account.

        For an unknown user (`account` is None) it does the same work and returns None.
        """
        code = normalise_code(typed)
        word = recovery_codes.canonical(code)
        if word is not None:
            user_id = account.user.id if account else 0
            code_hash = recovery_codes.hashed(user_id, word)
            found = logins.has_code(db, user_id, code_hash)
            return Match(CodeKind.RECOVERY, code_hash=code_hash) if found else None
        if account is None:
            matching_step(self._decoy, code, now_ms)
            return None
        user, state = account.user, account.state
        step = matching_step(self._setting(user), code, now_ms, state.drift_ms)
        if step is not None:
            return Match(CodeKind.CURRENT, step)
        if user.next_secret is not None:
            waiting = self._setting(user, user.next_secret)
            step = matching_step(waiting, code, now_ms, state.drift_ms)
        return None if step is None else Match(CodeKind.NEXT, step)

    def at_another_time(
        self, db: Db, account: Account | None, typed: str, now_ms: int
    ) -> OffCode | None:
        """Return when a wrong code is valid, if that is near; None if it is not.

        For an unknown user (`account` is None) it does the same work and returns None.
        """
        if account is None:
            step_at_another_time(self._decoy, typed, now_ms)
            return None
        user, state = account.user, account.state
        secrets = [(user.otp_secret, state.secret_no)]
        if user.next_secret is not None:
            secrets.append((user.next_secret, state.secret_no + 1))
        for sealed, number in secrets:
            setting = self._setting(user, sealed)
            step = step_at_another_time(setting, typed, now_ms)
            if step is not None:
                middle_ms = step * setting.period * 1000 + setting.period * 500
                return OffCode(middle_ms - now_ms, users.was_used(db, user.id, number, step))
        return None

    def use(self, db: Db, account: Account, match: Match, now_ms: int) -> bool:
        """Consume a code; return False if it, or a later one, is already consumed.

        Of concurrent attempts only one succeeds, because of a conditional update of one row.
        """
        user, state = account.user, account.state
        match match.kind:
            case CodeKind.RECOVERY:
                return logins.use_code(db, user.id, match.code_hash)
            case CodeKind.CURRENT:
                used = users.use_step(db, user.id, state.secret_no, match.step, now_ms)
            case CodeKind.NEXT:
                number = state.secret_no + 1
                used = users.move_to_next(db, user.id, number, match.step, now_ms)
                if used:
                    state.secret_no, state.next_since_ms = number, None
        if used:
            db.refresh(user)
            setting = self._setting(user)
            state.off_ms = state.off_at_ms = None
            state.drift_ms = learned_drift(
                setting, match.step, now_ms, state.drift_ms, most_ms=self._most_drift_ms
            )
        return used

    def was_used(self, db: Db, account: Account, match: Match) -> bool:
        """Return whether an earlier login has consumed the refused code."""
        if match.kind is not CodeKind.CURRENT:
            return False
        return users.was_used(db, account.user.id, account.state.secret_no, match.step)

    def _setting(self, user: models.User, sealed: bytes | None = None) -> OtpSetting:
        secret = self._vault.open(user.otp_secret if sealed is None else sealed, user.id)
        return OtpSetting(secret, user.otp_digits, user.otp_period, user.otp_algorithm)


def rotate(vault: Vault, account: Account, now_ms: int) -> OtpSetting:
    """Add a new secret next to the current one; it replaces an earlier unconfirmed one."""
    user, state = account.user, account.state
    setting = OtpSetting(new_secret(), user.otp_digits, user.otp_period, user.otp_algorithm)
    user.next_secret, state.next_since_ms = vault.seal(setting.secret, user.id), now_ms
    return setting


def replace(vault: Vault, account: Account) -> OtpSetting:
    """Replace an account's secret at once; delete a new secret that waits for confirmation."""
    user, state = account.user, account.state
    setting = OtpSetting(new_secret(), user.otp_digits, user.otp_period, user.otp_algorithm)
    user.otp_secret, user.next_secret = vault.seal(setting.secret, user.id), None
    user.last_step = 0
    state.secret_no, state.next_since_ms, state.drift_ms = state.secret_no + 1, None, 0
    state.off_ms = state.off_at_ms = None
    return setting
