"""Use cases of logged-in users on their own account: sessions, codes, secret.

A session alone is not enough to take over an account: new recovery codes, a new secret, a backup
and new keys each require another code, and a refused code counts like one at login. Each of the
user's sessions gets a notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.auth import recovery_codes
from fsd.auth.vault import Vault
from fsd.policies import DAY_MS, LoginPolicy, QuotaPolicy
from fsd.principal import Principal
from fsd.services.files.key_log import KeyLogWriter
from fsd.services.login import codes, key_backup
from fsd.services.login.attempts import Attempt, Attempts, RefusalReason, RefusedAttempt
from fsd.services.login.codes import Account, CodeKind, Codes
from fsd.services.login.identities import checked_rotation, replace_keys
from fsd.services.login.ssh_login import how
from fsd.store import models
from fsd.store.engine import Database
from fsd.store.login_models import LoginState
from fsd.store.repos import logins, quotas, sessions, users
from fsproto import __version__
from fsproto.errors import LoginRefused, NotAllowedError
from fsproto.messages.account import (
    Backup,
    NewSecret,
    RecoveryCodes,
    RunningSession,
    Sessions,
    Status,
)
from fsproto.messages.keylog import Rotate
from fsproto.sealed.manifest import NodeKind
from fsproto.types import Random

T = TypeVar("T")


class OwnAccount:
    """Use cases of users on their own accounts; all calls block."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        attempts: Attempts,
        codes: Codes,
        *,
        log: KeyLogWriter,
        policy: LoginPolicy,
        now_ms: Callable[[], int],
        random: Random,
        quota: QuotaPolicy,
    ) -> None:
        """Take the parts, the login policy, and the general quota policy."""
        self._database = database
        self._vault = vault
        self._attempts = attempts
        self._codes = codes
        self._log = log
        self._policy = policy
        self._now_ms = now_ms
        self._random = random
        self._quota = quota

    def status(self, who: Principal) -> Status:
        """Return the status of the server and of the account.

        Files and folders are the current ones. The bytes are all stored bytes: older versions and
        removed nodes count until the janitor deletes them.
        """
        with self._database.read() as db:
            session = db.get(models.Session, who.session_id)
            kinds, stored = users.usage(db, who.user_id)
            row = quotas.get(db, who.user_id)
            return Status(
                server_version=__version__,
                expires_ms=session.expires_ms if session else 0,
                files=kinds.get(NodeKind.FILE, 0),
                folders=kinds.get(NodeKind.FOLDER, 0),
                stored_bytes=stored,
                used_bytes=row.used_bytes if row else 0,
                quota_bytes=self._quota.bytes_of(row),
                quota_files=self._quota.files_of(row),
            )

    def sessions(self, who: Principal) -> Sessions:
        """Return the user's running sessions."""
        with self._database.read() as db:
            return Sessions(
                [
                    RunningSession(
                        each.id,
                        each.created_ms,
                        each.used_ms,
                        each.expires_ms,
                        each.address,
                        each.id == who.session_id,
                        how(each.ssh_key),
                    )
                    for each in sessions.of_user(db, who.user_id, self._now_ms())
                ]
            )

    def end_sessions(self, who: Principal) -> None:
        """End all sessions of the user, including this one."""
        with self._database.write() as db:
            sessions.end_all(db, who.user_id)
            self._attempts.record(
                db, AuditEvent.SESSIONS_ENDED, self._try(who), "all, by themselves"
            )

    def make_recovery_codes(self, who: Principal, code: str) -> RecoveryCodes:
        """Make new recovery codes; `LoginRefused` if the code is wrong."""
        made = recovery_codes.new_codes(self._random)

        def make(db: Db, account: Account) -> None:
            user_id = account.user.id
            logins.replace_codes(db, user_id, recovery_codes.hashes(user_id, made), self._now_ms())

        self._with_code(who, code, make, AuditEvent.RECOVERY_CODES_MADE)
        return RecoveryCodes(made)

    def rotate_secret(self, who: Principal, code: str) -> NewSecret:
        """Make a new secret, keep the old one; `LoginRefused` if the code is wrong."""

        def make(_: Db, account: Account) -> NewSecret:
            made = codes.rotate(self._vault, account, self._now_ms())
            return NewSecret(made.secret, made.digits, made.period, made.algorithm)

        return self._with_code(who, code, make, AuditEvent.SECRET_ROTATED)

    def keep_backup(self, who: Principal, ask: Backup) -> None:
        """Store the user's sealed identity, which replaces an earlier backup.

        `LoginRefused` if the code is wrong.
        """

        def keep(db: Db, _: Account) -> None:
            key_backup.keep(db, who.user_id, who.ed25519, ask, self._now_ms())

        key_backup.check(ask)
        self._with_code(who, ask.otp, keep, AuditEvent.BACKUP_KEPT)

    def rotate(self, who: Principal, ask: Rotate) -> None:
        """Replace the user's keys by keys that the old key signed; other sessions end.

        `LoginRefused` if the code is wrong, `NotAllowedError` after too many rotations within 24
        hours, and what `identities.replace_keys` raises; none of these replaces anything.
        """
        rotation = checked_rotation(who, ask)

        def replace(db: Db, _: Account) -> None:
            now_ms = self._now_ms()
            self._check_rotations(db, who, now_ms)
            replace_keys(db, who, rotation, now_ms)
            key = rotation.bundle.body.ed25519
            self._log.rotated(db, who.user, rotation.bundle.hash, key, ask.signature)
            sessions.end_others(db, who.user_id, who.session_id)
            session = db.get(models.Session, who.session_id)
            if session is not None:
                session.ed25519 = key

        tree = partial(quotas.hold, user_id=who.user_id)
        self._with_code(who, ask.otp, replace, AuditEvent.KEYS_ROTATED, tree)

    def _check_rotations(self, db: Db, who: Principal, now_ms: int) -> None:
        """Raise `NotAllowedError` if the user has replaced the keys too often of late."""
        most = self._policy.rotations_a_day
        latest = users.rotations_since(db, who.user_id, now_ms - DAY_MS)
        if len(latest) >= most:
            at = datetime.fromtimestamp((latest[-most] + DAY_MS) / 1000, UTC)
            times = "once" if most == 1 else f"{most} times"
            raise NotAllowedError(
                f"You have replaced your keys {times} in the last 24 hours; that is the limit.",
                hint=f"The next time is possible at {at:%Y-%m-%d %H:%M} UTC.",
            )

    def confirm_secret(self, who: Principal, code: str) -> None:
        """Consume a code of the new secret and end the old one; `LoginRefused` if it is wrong."""

        def confirm(db: Db, state: LoginState | None) -> None:
            account = _account(db, who, state)
            match = self._codes.match(db, account, code, self._now_ms())
            if match is not None and match.kind is not CodeKind.NEXT:
                raise RefusedAttempt(RefusalReason.WRONG)
            self._attempts.use(db, account, match, self._try(who))

        with _one_answer():
            self._attempts.attempt(self._try(who), confirm, known=True, event=None)

    def _with_code(
        self,
        who: Principal,
        code: str,
        make: Callable[[Db, Account], T],
        event: AuditEvent,
        hold: Callable[[Db], object] | None = None,
    ) -> T:
        """Consume a correct code of the user, run the action, and notify the other sessions."""
        a_try = self._try(who)

        def with_code(db: Db, state: LoginState | None) -> T:
            account = _account(db, who, state)
            match = self._codes.match(db, account, code, a_try.at_ms)
            self._attempts.use(db, account, match, a_try)
            made = make(db, account)
            address, mine = a_try.address, who.session_id
            logins.notify(db, who.user_id, event.value, a_try.at_ms, address, besides=mine)
            return made

        with _one_answer():
            return self._attempts.attempt(a_try, with_code, known=True, event=event, hold=hold)

    def _try(self, who: Principal) -> Attempt:
        return Attempt(who.user, who.address, self._now_ms())


@contextmanager
def _one_answer() -> Iterator[None]:
    """Give the same answer for every error of a code, as at login."""
    try:
        yield
    except LoginRefused:
        raise LoginRefused(
            "The code was refused: it is wrong, or was used, or too many were tried before it."
        ) from None


def _account(db: Db, who: Principal, state: LoginState | None) -> Account:
    """Return the logged-in user's account; `RefusedAttempt` if it no longer exists."""
    user = db.get(models.User, who.user_id)
    if user is None or state is None or state.user_id != user.id:
        raise RefusedAttempt(RefusalReason.UNKNOWN)
    return Account(user, state)
