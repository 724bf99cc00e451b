"""The administrator's management of accounts: add, disable, remove, hand over, reset."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.auth.otp import OtpSetting, new_secret
from fsd.auth.vault import Vault
from fsd.blobs.base import BlobStore, release
from fsd.policies import QuotaPolicy
from fsd.services.accounts import handover
from fsd.services.accounts.terms import AccountTerms
from fsd.services.accounts.views import AccountView, Holdings, account_views, holdings
from fsd.services.files.key_log import KeyLogWriter
from fsd.store import models
from fsd.store.engine import Database
from fsd.store.repos import (
    groups,
    key_backups,
    logins,
    quotas,
    sessions,
    shares,
    stored,
    users,
)
from fsproto.errors import ExistsError, NotFoundError, UsageError
from fsproto.names import clean_user, for_terminal, is_user


@dataclass(frozen=True)
class Enrolment:
    """The data for a new user: the name, and the parameters for the authenticator app."""

    user: str
    otp: OtpSetting = field(repr=False)


class UserAdmin:
    """The administrator's use cases; all calls block."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        blobs: BlobStore,
        *,
        log: KeyLogWriter,
        audit: AuditLog,
        actor: str,
        now_ms: Callable[[], int],
        quota: QuotaPolicy | None = None,
    ) -> None:
        """Take the parts, the actor for the audit log, and the general quota policy."""
        self._database = database
        self._vault = vault
        self._blobs = blobs
        self._log = log
        self._audit = audit
        self._actor = actor
        self._now_ms = now_ms
        self._quota = quota or QuotaPolicy()

    def add(
        self,
        name: str,
        *,
        digits: int,
        period: int,
        algorithm: str,
        terms: AccountTerms | None = None,
    ) -> Enrolment:
        """Add a user; `ExistsError` if the name is taken."""
        clean_user(name)
        setting = OtpSetting(new_secret(), digits, period, algorithm)
        with self._database.write() as db:
            if users.by_name(db, name):
                raise _taken(name)
            self._add(db, name, setting, terms or AccountTerms())
        return Enrolment(name, setting)

    def add_all(
        self,
        new: Sequence[tuple[str, AccountTerms]],
        hand_out: Callable[[list[Enrolment]], None],
        *,
        digits: int,
        period: int,
        algorithm: str,
    ) -> None:
        """Add all of these users or none; `ExistsError` if a name is taken.

        `hand_out` gets their enrolments before the transaction starts, so that the database waits
        for none of its work; if it raises, no user is added.
        """
        made = [
            Enrolment(clean_user(name), OtpSetting(new_secret(), digits, period, algorithm))
            for name, _ in new
        ]
        hand_out(made)
        with self._database.write() as db:
            for one, (name, terms) in zip(made, new, strict=True):
                if users.by_name(db, name):
                    raise _taken(name)
                self._add(db, name, one.otp, terms)

    def taken(self, names: Collection[str]) -> set[str]:
        """Return those of the names that are taken."""
        with self._database.read() as db:
            return set(users.names(db)).intersection(names)

    def _add(self, db: Db, name: str, setting: OtpSetting, terms: AccountTerms) -> None:
        if terms.ended(self._now_ms()):
            raise UsageError(f"The account of {name} would have expired already.")
        user = models.User(
            name=name,
            disabled=False,
            created_ms=self._now_ms(),
            otp_secret=b"",
            otp_digits=setting.digits,
            otp_period=setting.period,
            otp_algorithm=setting.algorithm,
            last_step=0,
        )
        db.add(user)
        try:
            db.flush()  # the id, which the sealed secret is bound to
        except IntegrityError:  # another process added it concurrently
            raise _taken(name) from None
        user.otp_secret = self._vault.seal(setting.secret, user.id)
        logins.begin(db, user.id)
        quotas.begin(db, user.id)
        terms.put(db, user)
        self._record(db, AuditEvent.USER_ADDED, name, terms.told)

    def everybody(self) -> list[AccountView]:
        """Return all accounts by name."""
        with self._database.read() as db:
            return account_views(db, users.everybody(db), self._quota, self._now_ms())

    def show(self, name: str) -> AccountView:
        """Return one account; `NotFoundError` if there is none of that name."""
        with self._database.read() as db:
            user = find_user(db, name)
            return replace(self._view(db, user), stored=stored.of_trees(db, user.id))

    def change(self, name: str, terms: AccountTerms) -> None:
        """Set the terms of an account; sessions end with it."""
        with self._database.write() as db:
            user = _held(db, name, tree=True)
            handover.check_open(db, user)
            terms.put(db, user)
            self._record(db, AuditEvent.USER_CHANGED, name, terms.told)

    def set_disabled(self, name: str, *, disabled: bool) -> None:
        """Disable an account, which ends its sessions at once, or enable it again."""
        with self._database.write() as db:
            user = _held(db, name)
            handover.check_open(db, user)
            user.disabled = disabled
            if disabled:
                sessions.end_all(db, user.id)
            self._record(
                db, AuditEvent.USER_DISABLED if disabled else AuditEvent.USER_ENABLED, name
            )

    def belongings(self, name: str) -> Holdings:
        """Return the data that would be deleted with an account."""
        with self._database.read() as db:
            return holdings(db, find_user(db, name))

    def remove(self, name: str) -> Holdings:
        """Delete an account with everything it owns; return what that was."""
        with self._database.write() as db:
            user = _held(db, name, tree=True)
            handover.check_holds_nothing(db, user)
            gone = holdings(db, user)
            places = users.drop_tree(db, user.id)
            quotas.start_over(db, quotas.payer_of(db, user.id))
            if users.bundle(db, user.id) is not None:
                self._log.reset(db, user.name)
            self._leave_groups(db, user)
            db.delete(user)
            self._record(db, AuditEvent.USER_REMOVED, name, gone.told)
        release(self._blobs, places)
        return gone

    def hand_over(self, name: str, heir: str) -> Holdings:
        """Close an account for good, and count its storage in the quota of another account.

        Its name, keys and tree stay, for the members of its shared nodes. `NotAllowedError` if the
        other account is closed itself.
        """
        if name == heir:
            raise UsageError("An account cannot be handed over to itself.")
        with self._database.write() as db:
            pair = sorted((name, heir), key=lambda one: find_user(db, one).id)
            for one in pair:
                quotas.hold(db, find_user(db, one).id)
            held = {one: _held(db, one) for one in pair}
            user, other = held[name], held[heir]
            handover.check_open(db, other)
            what = holdings(db, user)
            self._leave_groups(db, user)
            places = handover.close(db, user, other, self._now_ms())
            self._record(db, AuditEvent.USER_HANDED_OVER, name, f"to {heir}; {what.told}")
        release(self._blobs, places)
        return what

    def _leave_groups(self, db: Db, user: models.User) -> None:
        for group in groups.leave_all(db, user.id):
            self._record(db, AuditEvent.GROUP_MEMBER_REMOVED, user.name, f"@{group}")

    def reset_keys(self, name: str) -> None:
        """Delete an account's public keys and its tree, so that the user can enrol again.

        New keys cannot open data sealed to the old keys, so that data is deleted. Grants from
        other owners were for the old keys, and are deleted too.
        """
        with self._database.write() as db:
            user = _held(db, name, tree=True)
            handover.check_open(db, user)
            if users.bundle(db, user.id) is None:
                raise NotFoundError(f"{name} has not enrolled yet; there are no keys to reset.")
            gone = holdings(db, user)
            places = users.drop_tree(db, user.id)
            quotas.start_over(db, user.id)
            users.drop_bundles(db, user.id)
            shares.drop_grants_to(db, user.id)
            self._log.reset(db, user.name)
            key_backups.drop(db, user.id)
            sessions.end_all(db, user.id)
            self._record(db, AuditEvent.KEYS_RESET, name, gone.told)
        release(self._blobs, places)

    def _view(self, db: Db, user: models.User) -> AccountView:
        (view,) = account_views(db, [user], self._quota, self._now_ms())
        return view

    def _record(self, db: Db, event: AuditEvent, name: str, detail: str = "") -> None:
        self._audit.record(db, event, actor=self._actor, subject=name, detail=detail)


def _taken(name: str) -> ExistsError:
    return ExistsError(f"There is already a user {name}.")


def find_user(db: Db, name: str) -> models.User:
    """Return the user of that name; `NotFoundError` if there is none."""
    # An invalid name never reaches a query.
    user = users.by_name(db, name) if is_user(name) else None
    if user is None:
        error = unknown_user(name)
        near = difflib.get_close_matches(name, users.names(db), n=1)
        error.hint = f"Did you mean '{near[0]}'? {error.hint}" if near else error.hint
        raise error
    return user


def _held(db: Db, name: str, *, tree: bool = False) -> models.User:
    """Return a user, locked for a change. A login locks the login state before the user.

    `tree`: lock the user's tree, too; a commit locks the quota before all other rows.
    """
    if tree:
        quotas.hold(db, find_user(db, name).id)
    if is_user(name):
        logins.hold(db, name)
    user = users.hold(db, find_user(db, name).id)
    if user is None:
        raise unknown_user(name)
    return user


def unknown_user(name: str) -> NotFoundError:
    """Return the error for a name that no user has."""
    return NotFoundError(
        f"There is no user {for_terminal(name[:80])}.", hint="'fsadmin list-users' shows all."
    )
