"""Use cases of logged-in users on their own account: sessions, codes, secret.

A session alone is not enough to take over an account: new recovery codes, a new secret, a backup
and new keys each require another code, and a refused code counts like one at login. Each of the
user's sessions gets a notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.auth import recovery_codes
from fsd.auth.vault import Vault
from fsd.policies import DAY_MS, LoginPolicy, QuotaPolicy
from fsd.principal import Principal
from fsd.services.files.commit_checks import VerifiedCommit
from fsd.services.files.commits import FileService
from fsd.services.files.key_log import KeyLogWriter, check_log_heads
from fsd.services.login import codes, key_backup
from fsd.services.login.attempts import (
    Attempt,
    Attempts,
    OpenAttempt,
    RefusalReason,
    RefusedAttempt,
)
from fsd.services.login.codes import CodeKind
from fsd.services.login.identities import checked_rotation, replace_keys
from fsd.services.login.ssh_login import how
from fsd.store import models
from fsd.store.engine import Database
from fsd.store.repos import drops, key_backups, logins, quotas, sessions, shares, users
from fsproto import __version__
from fsproto.errors import LoginRefused, NotAllowedError, NotFoundError
from fsproto.messages.account import (
    Backup,
    NewSecret,
    RecoveryCodes,
    RunningSession,
    Sessions,
    Status,
)
from fsproto.messages.keylog import Rotate, RotatePart
from fsproto.types import Random


class OwnAccount:
    """Use cases of users on their own accounts; all calls block."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        attempts: Attempts,
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
            held = users.usage(db, [who.user_id])[who.user_id]
            row = quotas.get(db, who.user_id)
            backup = key_backups.of_user(db, who.user_id)
            return Status(
                server_version=__version__,
                expires_ms=session.expires_ms if session else 0,
                files=held.files,
                folders=held.folders,
                stored_bytes=held.stored_bytes,
                used_bytes=row.used_bytes if row else 0,
                quota_bytes=self._quota.bytes_of(row),
                quota_files=self._quota.files_of(row),
                key_backup=backup is not None and backup.ed25519 == who.ed25519,
                recovery_codes=logins.codes_left(db, who.user_id),
            )

    def sessions(self, who: Principal) -> Sessions:
        """Return the user's running sessions, and whether something waits for the user."""
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
                        each.device,
                    )
                    for each in sessions.of_user(db, who.user_id, self._now_ms())
                ],
                last_drop_ms=drops.newest_ms(db, who.user_id),
                shares=shares.count_to(db, who.user_id),
            )

    def end_sessions(self, who: Principal) -> None:
        """End all sessions of the user, including this one."""
        with self._database.write() as db:
            sessions.end_all(db, who.user_id)
            self._attempts.record(
                db, AuditEvent.SESSIONS_ENDED, self._try(who), "all, by themselves"
            )

    def end_session(self, who: Principal, number: int) -> None:
        """End one session of the user; `NotFoundError` if the user has no such session."""
        with self._database.write() as db:
            if number not in {one.id for one in sessions.of_user(db, who.user_id, self._now_ms())}:
                raise NotFoundError(
                    f"You have no running session {number}.", hint="'fsclient sessions' shows all."
                )
            sessions.end(db, number)
            detail = f"session {number}, by themselves"
            self._attempts.record(db, AuditEvent.SESSIONS_ENDED, self._try(who), detail)

    def make_recovery_codes(self, who: Principal, code: str) -> RecoveryCodes:
        """Make new recovery codes; `LoginRefused` if the code is wrong."""
        made = recovery_codes.new_codes(self._random)
        hashes = recovery_codes.hashes(who.user_id, made)
        with self._with_code(who, code, AuditEvent.RECOVERY_CODES_MADE) as attempt:
            logins.replace_codes(attempt.db, who.user_id, hashes, self._now_ms())
        return RecoveryCodes(made)

    def rotate_secret(self, who: Principal, code: str) -> NewSecret:
        """Make a new secret, keep the old one; `LoginRefused` if the code is wrong."""
        with self._with_code(who, code, AuditEvent.SECRET_ROTATED) as attempt:
            made = codes.rotate(self._vault, attempt.account, self._now_ms())
        return NewSecret(made.secret, made.digits, made.period, made.algorithm)

    def keep_backup(self, who: Principal, ask: Backup) -> None:
        """Store the user's sealed identity, which replaces an earlier backup.

        `LoginRefused` if the code is wrong.
        """
        key_backup.check(ask)
        with self._with_code(who, ask.otp, AuditEvent.BACKUP_KEPT) as attempt:
            key_backup.keep(attempt.db, who.user_id, who.ed25519, ask, self._now_ms())

    def rotate(
        self, who: Principal, ask: Rotate, parts: Iterable[RotatePart], files: FileService
    ) -> None:
        """Replace the user's keys by keys that the old key signed; other sessions end.

        `files` makes what the parts contain in the same transaction. `LoginRefused` if the code is
        wrong, `NotAllowedError` after too many rotations within 24 hours, and what
        `identities.replace_keys` and `FileService.renew` raise; none of these replaces anything.
        """
        a_try = self._try(who)  # the code counts for now, however long the checks take
        rotation = checked_rotation(who, ask)
        key = rotation.bundle.body.ed25519
        then = replace(who, ed25519=key)
        renewal = VerifiedCommit.renewal(then, parts)
        with self._database.read() as db:
            check_log_heads(db, who.user, rotation.log_heads | renewal.log_heads())
        tree = partial(quotas.hold, user_id=who.user_id)
        with self._with_code(who, ask.otp, AuditEvent.KEYS_ROTATED, tree, a_try) as attempt:
            db, now_ms = attempt.db, self._now_ms()
            self._check_rotations(db, who, now_ms)
            replace_keys(db, who, rotation, now_ms)
            self._log.rotated(db, who.user, rotation.bundle.hash, key, ask.signature)
            settle = files.renew(db, then, renewal) if renewal.states else None
            sessions.end_others(db, who.user_id, who.session_id)
            session = db.get(models.Session, who.session_id)
            if session is not None:
                session.ed25519 = key
        if settle is not None:
            settle()

    def _check_rotations(self, db: Db, who: Principal, now_ms: int) -> None:
        """Raise `NotAllowedError` if the user has replaced the keys too often of late."""
        most = self._policy.rotations_a_day
        latest = users.rotations_since(db, who.user_id, now_ms - DAY_MS)
        if len(latest) >= most:
            times = "once" if most == 1 else f"{most} times"
            error = NotAllowedError(
                f"You have replaced your keys {times} in the last 24 hours; that is the limit."
            )
            error.again_ms = latest[-most] + DAY_MS
            raise error

    def confirm_secret(self, who: Principal, code: str) -> None:
        """Consume a code of the new secret and end the old one; `LoginRefused` for a wrong code."""
        with _one_answer(), self._attempts.begin(self._try(who), known=True, event=None) as attempt:
            _check_same_user(attempt, who)
            if attempt.match(code) not in (None, CodeKind.NEXT):
                raise RefusedAttempt(RefusalReason.WRONG)
            attempt.use_code()

    @contextmanager
    def _with_code(
        self,
        who: Principal,
        code: str,
        event: AuditEvent,
        hold: Callable[[Db], object] | None = None,
        a_try: Attempt | None = None,
    ) -> Iterator[OpenAttempt]:
        """Consume a correct code of the user, run the block, and notify the other sessions.

        `a_try` has the time of the code, if that is earlier than now.
        """
        a_try = a_try or self._try(who)
        with (
            _one_answer(),
            self._attempts.begin(a_try, known=True, event=event, hold=hold) as attempt,
        ):
            _check_same_user(attempt, who)
            attempt.match(code)
            attempt.use_code()
            yield attempt
            address, mine = a_try.address, who.session_id
            logins.notify(attempt.db, who.user_id, event.value, a_try.at_ms, address, besides=mine)

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


def _check_same_user(attempt: OpenAttempt, who: Principal) -> None:
    """Raise `RefusedAttempt` if the logged-in user's account no longer exists."""
    if attempt.user.id != who.user_id:
        raise RefusedAttempt(RefusalReason.UNKNOWN)
