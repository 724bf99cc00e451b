"""Accounts as the administrator sees them: state, use of storage, and what goes with an account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session as Db

from fsd.policies import QuotaPolicy
from fsd.store import models
from fsd.store.repos import accounts, shares, users
from fsd.store.repos.many import helpings
from fsd.store.repos.stored import Stored
from fsproto.keys.identity import verify_bundle
from fsproto.signed import Signed


@dataclass(frozen=True)
class AccountView:
    """An account as the administrator sees it."""

    name: str
    disabled: bool
    expires_ms: int | None
    """When the account expires; None: never."""
    expired: bool
    note: str
    enrolled: bool
    """Whether the user has registered keys."""
    fingerprint: str | None
    """Fingerprint of the public keys, as `fsclient whoami` shows it."""
    created_ms: int
    digits: int
    period: int
    algorithm: str
    clock_ms: int
    """How far the user's clock is ahead of the server's, measured by accepted codes."""
    off_ms: int | None
    """How far a refused code was ahead of the server's clock; None: no code since was.

    Only codes that are valid at another time say so.
    """
    off_at_ms: int | None
    """When that code was refused."""
    locked_ms: int | None
    """Time since which no code is accepted."""
    refused_over_ssh: int
    """How many codes in a row were refused at the SSH listener, from any client."""
    held_until_ms: int
    """Time until which at least one lane is throttled; 0: none is."""
    new_secret_ms: int | None
    """Time since which a new secret waits for its first use."""
    recovery_codes: int
    """Number of unused recovery codes."""
    sessions: int
    """Number of running sessions."""
    devices: list[str]
    """The names of the devices of these sessions, as the users' clients say."""
    files: int
    folders: int
    stored_bytes: int
    """All stored bytes, including older versions and removed nodes."""
    used_bytes: int
    """Bytes of current files, which count towards the quota."""
    quota_bytes: int | None
    quota_files: int | None
    """The limit; None: no limit."""
    stored: Stored | None
    """Stored data other than current contents; None in a list of all accounts."""
    most_stored: tuple[int, int, int | None]
    """Limits of `stored`: nodes, bytes of records, bytes of kept contents (None: no limit)."""
    quota_is_own: bool
    """Whether one of the two limits was set for this user."""
    handed_over_to: str | None
    """The user in whose quota a closed account counts; None: the account is not closed."""
    holds: list[str]
    """The closed accounts that count in this user's quota."""


@dataclass(frozen=True)
class Holdings:
    """The data that is deleted with an account or with its keys."""

    files: int
    folders: int
    stored_bytes: int
    """Stored bytes, with older versions and removed nodes."""
    shared: int
    """Number of nodes shared with other users."""
    shared_with: int
    """Number of those users."""

    @property
    def told(self) -> str:
        """Return the text for the audit log."""
        shared = f"shared: {self.shared}, with people: {self.shared_with}"
        return f"files: {self.files}, stored bytes: {self.stored_bytes}, {shared}"


def account_views(
    db: Db, some: Sequence[models.User], policy: QuotaPolicy, now_ms: int
) -> list[AccountView]:
    """Return accounts as the administrator sees them, without `AccountView.stored`.

    The number of queries does not grow with that of the accounts, except for parts of 500.
    """
    return [
        _view(user, facts, policy, now_ms)
        for part in helpings(some)
        for user, facts in zip(part, accounts.facts(db, part, now_ms), strict=True)
    ]


def _view(
    user: models.User, facts: accounts.Facts, policy: QuotaPolicy, now_ms: int
) -> AccountView:
    shown = None
    if facts.bundle is not None:
        signed = Signed(facts.bundle.payload, facts.bundle.signature)
        shown = verify_bundle(signed, user.name).fingerprint
    state, quota = facts.state, facts.quota
    own = quota is not None and (quota.most_bytes, quota.most_files) != (None, None)
    return AccountView(
        name=user.name,
        disabled=user.disabled,
        expires_ms=user.expires_ms,
        expired=users.is_expired(user.expires_ms, now_ms),
        note=user.note,
        enrolled=facts.bundle is not None,
        fingerprint=shown,
        created_ms=user.created_ms,
        digits=user.otp_digits,
        period=user.otp_period,
        algorithm=user.otp_algorithm,
        clock_ms=state.drift_ms,
        off_ms=state.off_ms,
        off_at_ms=state.off_at_ms,
        locked_ms=state.locked_ms,
        refused_over_ssh=state.keyless_failures,
        held_until_ms=facts.held_until_ms,
        new_secret_ms=state.next_since_ms,
        recovery_codes=facts.recovery_codes,
        sessions=len(facts.devices),
        devices=sorted({device for device in facts.devices if device}),
        files=facts.usage.files,
        folders=facts.usage.folders,
        stored_bytes=facts.usage.stored_bytes,
        used_bytes=quota.used_bytes if quota is not None else 0,
        quota_bytes=policy.bytes_of(quota),
        quota_files=policy.files_of(quota),
        stored=None,
        most_stored=(
            policy.nodes,
            policy.records_mib << 20,
            policy.kept_of(quota),
        ),
        quota_is_own=own,
        handed_over_to=facts.payer,
        holds=sorted(facts.holds),
    )


def holdings(db: Db, user: models.User) -> Holdings:
    """Return the data that would be deleted with an account."""
    return Holdings(*users.usage(db, [user.id])[user.id], *shares.extent(db, user.id))
