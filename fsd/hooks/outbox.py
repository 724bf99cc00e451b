"""The outbox of hooks: events that the audit log has and a target has not received yet.

An act and its audit entry are one transaction, and entries are numbered in the order of the
commits. So reading the log from the last number on finds each event once, and no act waits for a
hook or writes a second time. What was read is in a table, with a row for each target, until it is
delivered: at least once, with the same id in each try.
"""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session as Db

from fsd.audit import rows as entries
from fsd.audit.chain import ChainEntry
from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.audit.rows import EntryFilter
from fsd.hooks.outcome import Outcome
from fsd.hooks.payload import HookMessage
from fsd.policies import DAY_MS
from fsd.store.engine import Database
from fsd.store.hook_models import HookEvent
from fsd.store.repos import hooks

FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 1000, 6 * 3600 * 1000
"""The pause after the first failed try; each further one doubles it, up to the second."""
GIVE_UP_MS = 3 * DAY_MS
MOST_OF_A_KIND = 2000
"""Waiting events of one kind for one target; the oldest make room, so that the disk stays free."""
QUIET_MS = 60_000
"""After a refused login was delivered, further ones of that name are added up for this long."""
_AT_ONCE = 500
_LATE_MS = 30_000


@dataclass(frozen=True)
class Claimed:
    """An event that this server delivers now."""

    row: HookEvent
    message: HookMessage


class Outbox:
    """The events that wait for hooks; all calls block, none waits for a target."""

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        *,
        targets: Sequence[str],
        events: Sequence[str],
        timeout_s: float,
        most: int = MOST_OF_A_KIND,
    ) -> None:
        """Take the names of the targets, the wanted audit events, and the time limit of a try."""
        self._database = database
        self._audit = audit
        self._targets = targets
        self._events = events
        self._lease_ms = int(2 * timeout_s * 1000) + _LATE_MS
        self._most = most

    def begin(self) -> None:
        """Start with what happens from now on, unless hooks were in use before."""
        now_ms = self._audit.now_ms()
        with self._database.write() as db:
            hooks.hold_progress(db, entries.newest(db))
            hooks.tidy(db, now_ms, now_ms - GIVE_UP_MS)

    def collect(self) -> int:
        """Take over new entries of the audit log; return how many events had to make room."""
        with self._database.read() as db:
            head = entries.head(db)
            if head is None or hooks.seen(db) == head.last:
                return 0
        gone, more = 0, True
        while more:
            with self._database.write() as db:
                lost, more = self._take_some(db)
            gone += lost
        return gone

    def collect_in(self, db: Db) -> None:
        """Take over all new entries in a transaction that moves them out of the log."""
        more = True
        while more:
            _, more = self._take_some(db)

    def _take_some(self, db: Db) -> tuple[int, bool]:
        """Take over some entries; return how many events made room, and whether there are more."""
        progress = hooks.hold_progress(db, entries.newest(db))
        head = entries.head(db)
        last = head.last if head is not None else 0
        now_ms = self._audit.now_ms()
        wanted = EntryFilter(now_ms - GIVE_UP_MS, events=self._events)
        taken: Counter[tuple[str, str]] = Counter()
        count = 0
        for entry, _ in entries.entries(db, wanted, after=progress.seen):
            if entry.seq > last or count == _AT_ONCE:
                break
            count += 1
            progress.seen = entry.seq
            self._add(db, entry, now_ms)
            taken.update((target, entry.event) for target in self._targets)
        gone = sum(hooks.drop_oldest(db, *kind, self._most) for kind in taken)
        progress.dropped += gone
        hooks.tidy(db, now_ms, now_ms - 2 * GIVE_UP_MS)
        if count < _AT_ONCE:  # a log that was put back may also be shorter
            progress.seen = last
        return gone, count == _AT_ONCE

    def _add(self, db: Db, entry: ChainEntry, now_ms: int) -> None:
        message_id = secrets.token_hex(16)
        for target in self._targets:
            row = _row(message_id, target, entry, now_ms)
            adds_up = entry.event == AuditEvent.LOGIN_REFUSED
            if not (adds_up and hooks.add_up(db, row)):
                db.add(row)
                db.flush()

    def claim(self, target: str) -> Claimed | None:
        """Return an event that is due; until the end of a lease, no other server takes it."""
        now_ms = self._audit.now_ms()
        with self._database.read() as db:
            if not hooks.is_due(db, target, now_ms):
                return None
        with self._database.write() as db:
            row = hooks.claim(db, target, now_ms, now_ms + self._lease_ms)
            if row is None:
                return None
            db.expunge(row)
        told = (row.event, row.at_ms, row.actor, row.subject, row.address, row.detail, row.count)
        return Claimed(row, HookMessage(row.id, *told))

    def settle(self, claimed: Claimed, outcome: Outcome) -> str:
        """Store the outcome of a try; return it in a word: `ok`, `failed` or `given-up`."""
        row, now_ms = claimed.row, self._audit.now_ms()
        with self._database.write() as db:
            if outcome.ok:
                hooks.remove(db, row)
                if row.event == AuditEvent.LOGIN_REFUSED:
                    db.merge(_quiet(row, now_ms))
                return "ok"
            if now_ms - row.at_ms < GIVE_UP_MS:
                hooks.put_off(db, row, now_ms + pause_ms(row.tries), outcome.stored)
                return "failed"
            hooks.remove(db, row)
            self._audit.record(
                db,
                AuditEvent.HOOK_GIVEN_UP,
                actor="fsd",
                subject=row.subject,
                detail=f"{row.event} {row.id} to the {row.target}, after {row.tries} tries: "
                f"{outcome.stored}",
            )
            return "given-up"

    def unclaim(self, claimed: Claimed, outcome: Outcome) -> None:
        """Make an event due at once, whose delivery this server has interrupted."""
        with self._database.write() as db:
            hooks.put_off(db, claimed.row, self._audit.now_ms(), outcome.stored)


def pause_ms(tries: int, jitter: Callable[[], float] = random.random) -> int:
    """Return the pause after so many failed tries: half to the whole of what doubles each time."""
    longest = min(FIRST_PAUSE_MS << min(tries - 1, 30), LONGEST_PAUSE_MS)
    return int(longest * (1 + jitter()) / 2)


def _row(message_id: str, target: str, entry: ChainEntry, now_ms: int) -> HookEvent:
    return HookEvent(
        id=message_id,
        target=target,
        event=entry.event,
        at_ms=entry.at_ms,
        actor=entry.actor,
        subject=entry.subject,
        address=entry.address,
        detail=entry.detail,
        count=1,
        next_ms=now_ms,
        tries=0,
        error="",
    )


def _quiet(row: HookEvent, now_ms: int) -> HookEvent:
    """Return the row that adds up what happens next like a delivered event."""
    kept = {name: getattr(row, name) for name in ("target", "event", "actor", "subject")}
    new = {"id": secrets.token_hex(16), "at_ms": now_ms, "address": "", "detail": "", "error": ""}
    return HookEvent(**kept, **new, count=0, next_ms=now_ms + QUIET_MS, tries=0)
