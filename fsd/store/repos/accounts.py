"""Queries on all rows of many accounts at once, for lists of accounts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session as Db
from sqlalchemy.orm import aliased

from fsd.store.login_models import LoginPenalty, LoginState, RecoveryCode
from fsd.store.models import Bundle, Session, User
from fsd.store.quota_models import Handover, Quota
from fsd.store.repos import users


@dataclass(frozen=True)
class Facts:
    """What the tables hold of one account, besides its own row."""

    bundle: Bundle | None
    """The current public keys."""
    usage: users.Usage
    state: LoginState
    quota: Quota | None
    devices: list[str]
    """The device of each running session; may be empty."""
    held_until_ms: int
    """The latest time until which a lane is throttled; 0 if none is."""
    recovery_codes: int
    payer: str | None
    """The user in whose quota a closed account counts."""
    holds: list[str]
    """The closed accounts that count in this user's quota."""


def facts(db: Db, some: Sequence[User], now_ms: int) -> list[Facts]:
    """Return the facts of at most 500 users, in their order."""
    ids, names = [user.id for user in some], [user.name for user in some]
    newest_last = select(Bundle).where(Bundle.user_id.in_(ids)).order_by(Bundle.version)
    bundles = {one.user_id: one for one in db.scalars(newest_last)}
    usage = users.usage(db, ids)
    states = {
        one.user_id: one
        for one in db.scalars(select(LoginState).where(LoginState.user_id.in_(ids)))
    }
    quotas = {one.user_id: one for one in db.scalars(select(Quota).where(Quota.user_id.in_(ids)))}
    devices = defaultdict[int, list[str]](list)
    running = select(Session.user_id, Session.device).where(Session.user_id.in_(ids))
    for user_id, device in db.execute(running.where(Session.expires_ms > now_ms)):
        devices[user_id].append(device)
    until = select(LoginPenalty.user, func.max(LoginPenalty.until_ms)).group_by(LoginPenalty.user)
    until = until.where(LoginPenalty.user.in_(names), LoginPenalty.until_ms > now_ms)
    held = {name: until_ms for name, until_ms in db.execute(until)}  # noqa: C416 - rows to a dict
    count = select(RecoveryCode.user_id, func.count()).group_by(RecoveryCode.user_id)
    count = count.where(RecoveryCode.user_id.in_(ids))
    codes = {user_id: number for user_id, number in db.execute(count)}  # noqa: C416 - rows to a dict
    payers, holds = _handovers(db, ids)
    return [
        Facts(
            bundles.get(user.id),
            usage[user.id],
            states[user.id],
            quotas.get(user.id),
            devices[user.id],
            held.get(user.name, 0),
            codes.get(user.id, 0),
            payers.get(user.id),
            holds[user.id],
        )
        for user in some
    ]


def _handovers(db: Db, ids: Sequence[int]) -> tuple[dict[int, str], defaultdict[int, list[str]]]:
    """Return the payer of each closed account, and the closed accounts of each payer."""
    closed, payer = aliased(User), aliased(User)
    ask = (
        select(closed.id, closed.name, payer.id, payer.name)
        .select_from(Handover)
        .join(closed, closed.id == Handover.user_id)
        .join(payer, payer.id == Handover.payer_id)
        .where(Handover.user_id.in_(ids) | Handover.payer_id.in_(ids))
    )
    payers, holds = dict[int, str](), defaultdict[int, list[str]](list)
    for closed_id, closed_name, payer_id, payer_name in db.execute(ask):
        payers[closed_id] = payer_name
        holds[payer_id].append(closed_name)
    return payers, holds
