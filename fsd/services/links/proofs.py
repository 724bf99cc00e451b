"""Proofs of people without an account: throttled, compared, and every refusal alike.

Every refusal is `NoSuchLink`, whatever the reason; the listener answers it at a fixed time. The
reason goes to the audit log only. Wrong proofs are throttled as logins are (`fsd.auth.throttle`),
in two lanes: that of the id and the network, and that of the network with any id.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.auth.throttle import Allowance, Lane, network_of
from fsd.policies import LoginPolicy
from fsd.store.engine import Database
from fsd.store.link_models import PublicLink
from fsd.store.models import User
from fsd.store.repos import penalties
from fsd.store.request_models import RequestLink
from fsproto import crypto
from fsproto.errors import NotFoundError
from fsproto.links.url_secret import (
    ACCESS_SIZE,
    PROOF_SIZE,
    SecretLabels,
    access_hash,
    proof_hash,
)
from fsproto.values import Value


class NoSuchLink(NotFoundError):
    """There is no such link."""


R = TypeVar("R", PublicLink, RequestLink)
T = TypeVar("T")


class UrlEvents(Value, frozen=True):
    """The names of refusals and locks in the audit log."""

    refused: AuditEvent
    locked: AuditEvent


class ProofCheck(Generic[R]):
    """The check of proofs of one kind of URL; `R` is its row."""

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        *,
        labels: SecretLabels,
        lane: str,
        events: UrlEvents,
        hold: Callable[[Db, bytes], R | None],
        is_open: Callable[[Db, R | None], bool],
        logins: LoginPolicy,
        now_ms: Callable[[], int],
    ) -> None:
        """Take the parts; `lane` names the throttle, `hold` locks the row of an id."""
        self._database = database
        self._audit = audit
        self._labels = labels
        self._lane = lane
        self._events = events
        self._hold: Callable[[Db, bytes], R | None] = hold
        self._is_open: Callable[[Db, R | None], bool] = is_open
        self.logins = logins
        self._now_ms = now_ms

    def check(self, of: bytes, proof: bytes, address: str, act: Callable[[Db, R], T]) -> T:
        """Return what `act` returns, for a right proof; otherwise count the refusal, and raise.

        If `act` raises `NoSuchLink`, the refusal is counted, too.
        """
        now, network = self._now_ms(), network_of(address)
        lanes = sorted((Lane(f"{self._lane}{of.hex()}", network), Lane(self._lane, network)))
        with self._database.read() as db:
            self._check_throttle(db, lanes, now)  # throttled attempts never take the write lock
        with self._database.write() as db:
            penalties.hold(db, lanes)
            self._check_throttle(db, lanes, now)
            row = self._hold(db, of)
            why = self._why_not(db, of, row, proof)
            if not why and row is not None:
                try:
                    with db.begin_nested():
                        answer = act(db, row)
                except NoSuchLink:
                    why = "used up"
                else:
                    penalties.forget(db, lanes[1])
                    return answer
            self.record(db, self._events.refused, row, address, f"{of.hex()}: {why}")
            for lane in lanes:
                before = penalties.of(db, lane)
                penalties.put(db, lane, before.after_refusal(self._allowance(lane), now))
        raise NoSuchLink

    def record(self, db: Db, event: AuditEvent, row: R | None, address: str, detail: str) -> None:
        """Record an event in the log of the owner."""
        owner = None if row is None else db.get(User, row.user_id)
        subject = owner.name if owner else ""
        self._audit.record(db, event, actor="", subject=subject, address=address, detail=detail)

    def _check_throttle(self, db: Db, lanes: list[Lane], now_ms: int) -> None:
        if any(penalties.of(db, lane).holds(now_ms) for lane in lanes):
            raise NoSuchLink

    def _why_not(self, db: Db, of: bytes, row: R | None, proof: bytes) -> str:
        """Return the reason to refuse; empty if there is none. Count wrong passwords."""
        access, rest = proof[:ACCESS_SIZE], proof[ACCESS_SIZE:]
        if row is None:
            return "no such link"
        with_url = crypto.equal(access_hash(self._labels, of, access), row.access_hash)
        right = crypto.equal(proof_hash(self._labels, of, rest), row.proof_hash)
        if len(proof) != ACCESS_SIZE + PROOF_SIZE:
            return "no such link"
        if not with_url:
            return "without its URL"
        if is_locked(row, self.logins):
            return "locked"
        if not right:
            row.wrong += row.guarded
            if row.wrong == self.logins.most_failures:
                told = f"{of.hex()} after {row.wrong} wrong passwords"
                self.record(db, self._events.locked, row, "", told)
            return "wrong password" if row.guarded else "wrong proof"
        if not self._is_open(db, row):
            return "ended"
        row.wrong = 0
        return ""

    def _allowance(self, lane: Lane) -> Allowance:
        policy = self.logins
        free = policy.source_free_tries if lane.user == self._lane else policy.free_tries
        return Allowance(free, policy.first_wait_ms, policy.longest_wait_ms, policy.forget_ms)


def is_locked(row: PublicLink | RequestLink, logins: LoginPolicy) -> bool:
    """Return whether a row is locked after too many wrong passwords."""
    return bool(row.guarded and row.wrong >= logins.most_failures)
