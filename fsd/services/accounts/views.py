"""Accounts as the administrator sees them: state, use of storage, and what goes with an account."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session as Db

from fsd.policies import QuotaPolicy
from fsd.store import models
from fsd.store.repos import logins, penalties, quotas, sessions, shares, users
from fsd.store.repos.stored import Stored
from fsproto.keys.identity import verify_bundle
from fsproto.sealed.manifest import NodeKind
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


def account_view(db: Db, user: models.User, policy: QuotaPolicy, now_ms: int) -> AccountView:
    """Return an account as the administrator sees it, without `AccountView.stored`."""
    bundle = users.bundle(db, user.id)
    shown = None
    if bundle is not None:
        signed = Signed(bundle.payload, bundle.signature)
        shown = verify_bundle(signed, user.name).fingerprint
    kinds, stored_bytes = users.usage(db, user.id)
    running = sessions.of_user(db, user.id, now_ms)
    state, quota = logins.state(db, user.id), quotas.get(db, user.id)
    handover = quotas.handover(db, user.id)
    own = quota is not None and (quota.most_bytes, quota.most_files) != (None, None)
    return AccountView(
        name=user.name,
        disabled=user.disabled,
        expires_ms=user.expires_ms,
        expired=users.is_expired(user.expires_ms, now_ms),
        note=user.note,
        enrolled=bundle is not None,
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
        held_until_ms=penalties.longest(db, user.name, now_ms),
        new_secret_ms=state.next_since_ms,
        recovery_codes=logins.codes_left(db, user.id),
        sessions=len(running),
        devices=sorted({one.device for one in running if one.device}),
        files=kinds.get(NodeKind.FILE, 0),
        folders=kinds.get(NodeKind.FOLDER, 0),
        stored_bytes=stored_bytes,
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
        handed_over_to=users.name_of(db, handover.payer_id) if handover else None,
        holds=sorted(users.name_of(db, one) for one in quotas.handed_to(db, user.id)),
    )


def holdings(db: Db, user: models.User) -> Holdings:
    """Return the data that would be deleted with an account."""
    kinds, held = users.usage(db, user.id)
    files, folders = kinds.get(NodeKind.FILE, 0), kinds.get(NodeKind.FOLDER, 0)
    return Holdings(files, folders, held, *shares.extent(db, user.id))
