"""The administrator's actions on the audit log: verify, export, rotate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from sqlalchemy.orm import Session as Db

from fsd.audit import archive, rows
from fsd.audit.archive import Archive
from fsd.audit.chain import NO_HASH, ChainEntry, ChainFinding, Span, faults
from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditBrokenError, AuditLog, AuditReport
from fsd.audit.rows import EVERYTHING, EntryFilter
from fsd.home.home import Home
from fsd.store.audit_models import AuditHead
from fsd.store.engine import Database
from fsproto import labels
from fsproto.errors import NotFoundError

FOLLOW_S = 1.0
"""Seconds between two reads of `follow`."""
_FIRST = 3
"""How many findings are quoted in an audit entry."""


@dataclass(frozen=True)
class Verified:
    """The result of `verify`: findings in the log, in the archives, and between them."""

    log: AuditReport
    archives: list[Archive]
    between: list[ChainFinding]

    @property
    def findings(self) -> list[str]:
        """Everything that is wrong, as sentences."""
        own = [finding.sentence for finding in (*self.log.findings, *self.between)]
        theirs = [
            f"{a.path.name}: {finding.sentence}" for a in self.archives for finding in a.findings
        ]
        return own + theirs


class AuditAdmin:
    """The audit log of one database, and its end at the last verification."""

    def __init__(
        self,
        home: Home,
        database: Database,
        log: AuditLog,
        actor: str,
        before_drop: Callable[[Db], None] | None = None,
    ) -> None:
        """Take the parts, and the actor for the audit log.

        `before_drop` is called in the transaction that moves entries out of the log, before it
        does: hooks may not have read the newest ones yet.
        """
        self._before_drop = before_drop
        self._home = home
        self._database = database
        self._log = log
        self._actor = actor

    def now_ms(self) -> int:
        """Return the time that entries are given."""
        return self._log.now_ms()

    def note(self, event: AuditEvent, detail: str = "") -> None:
        """Record an action without a transaction; the entry is durable on return."""
        with self._database.write() as db:
            self.note_in(db, event, detail)

    def note_in(self, db: Db, event: AuditEvent, detail: str = "") -> None:
        """Record an action in the transaction of that action."""
        self._log.record(db, event, actor=self._actor, detail=detail)

    def entries(
        self, which: EntryFilter = EVERYTHING, *, after: int = 0, newest: int | None = None
    ) -> Iterator[ChainEntry]:
        """Yield the wanted entries, the oldest first; with `newest`, only so many of the newest."""
        with self._database.read() as db:
            if newest is not None:
                after = rows.before_newest(db, which, newest)
            for entry, _ in rows.entries(db, which, after=after):
                yield entry

    def follow(
        self,
        which: EntryFilter = EVERYTHING,
        *,
        newest: int | None = None,
        wait: Callable[[float], object] = time.sleep,
    ) -> Iterator[ChainEntry]:
        """Yield the wanted entries as `entries` does, then each new one as it is added."""
        after = 0
        while True:
            for entry in self.entries(which, after=after, newest=newest):
                after = entry.seq
                yield entry
            newest = None
            wait(FOLLOW_S)

    def verify(self, files: list[Path], *, restored: bool = False) -> Verified:
        """Verify the chain through the archives, given in any order, and through the log.

        If nothing is wrong, the end of the chain is stored in the data directory for the next
        time. `restored`: an older copy of the database was restored on purpose, so the end stored
        before is ignored.
        """
        report = self._log.look(self._database)
        archives: list[Archive] = []
        between: list[ChainFinding] = []
        with self._database.read() as db:
            head = rows.head(db)
            if files:
                if head is None:
                    raise NotFoundError("The log has no entry yet, so it has no archives either.")
                key = self._log.key(head)
                archives = [archive.read(path, key) for path in files]
                archives.sort(key=lambda found: found.span.base)
                between += _joints(db, archives, report.span)
            if not restored:
                between += self._against_seen(db, report.span)
        result = Verified(report, archives, between)
        if not result.findings:
            self._home.note_audit(report.span.last, report.span.last_hash)
        return result

    def _against_seen(self, db: Db, span: Span) -> Iterator[ChainFinding]:
        seen = self._home.seen_audit()
        if seen is None or seen[0] < span.base:
            return
        last, last_hash = seen
        if last > span.last:
            yield ChainFinding(
                span.last,
                f"The log had {last} entries when it was last verified here and has {span.last} "
                "now: an older copy was put in its place.",
            )
        elif last_hash != (span.base_hash if last == span.base else rows.hash_of(db, last)):
            yield ChainFinding(
                last, f"Entry {last} is another one than when the log was last verified here."
            )

    def export(self, path: Path) -> Archive:
        """Copy the log to a new file unchanged; for an altered log the result has findings."""
        with self._database.read() as db:
            head = rows.head(db)
            if head is None:
                raise _nothing()
            return self._write(db, head, path)

    def rotate(self, path: Path) -> Archive:
        """Move the log to a new file; the next entry follows the last archived entry.

        `AuditBrokenError` if the log is altered; it stays as it is then.
        """
        with self._database.write() as db:
            head = rows.hold_head(db)
            if head is None or head.last == head.base:
                raise _nothing()
            span = rows.span(head)
            if not span.proved(self._log.key(head), head.proof) or any(
                faults(span, rows.entries(db))
            ):
                raise AuditBrokenError
            moved = self._write(db, head, path)
            try:
                if self._before_drop is not None:
                    self._before_drop(db)
                self._stand_on(db, head, span.last, span.last_hash)
                detail = f"entries {span.base + 1} to {span.last}"
                self._log.record(db, AuditEvent.AUDIT_ROTATED, actor=self._actor, detail=detail)
                db.flush()
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        return moved

    def put_aside(self, path: Path) -> Archive:
        """Copy an altered log to a file unchanged, and start a new log that records this."""
        found = self._log.look(self._database)
        with self._database.write() as db:
            head = rows.hold_head(db)
            span = rows.span(head) if head else Span(0, NO_HASH, 0, NO_HASH)
            archive.write(path, span, b"", rows.entries(db))
            last = max(span.last, rows.newest(db))
            sealed_key = head.sealed_key if head else None
            if self._before_drop is not None:
                self._before_drop(db)
            if head is not None:
                db.delete(head)
            rows.drop_until(db, last)
            db.flush()
            self._log.begin(db, last, sealed_key)
            told = " ".join(finding.sentence for finding in found.findings[:_FIRST])
            self._log.record(db, AuditEvent.AUDIT_BROKEN, actor=self._actor, detail=told)
        return Archive(path, span, found.entries, found.findings)

    def _stand_on(self, db: Db, head: AuditHead, last: int, last_hash: bytes) -> None:
        rows.drop_until(db, last)
        head.base, head.base_hash = last, last_hash
        self._log.prove(head)

    def _write(self, db: Db, head: AuditHead, path: Path) -> Archive:
        span, key = rows.span(head), self._log.key(head)
        proof = span.proof(key, labels.SERVER_AUDIT_ARCHIVE)
        if not span.proved(key, head.proof):
            proof = b""  # an altered log gets no valid proof
        archive.write(path, span, proof, rows.entries(db))
        return archive.read(path, key)


def _joints(db: Db, archives: list[Archive], log: Span) -> Iterator[ChainFinding]:
    """Yield the findings between archives, and between the last archive and the log."""
    for one, other in pairwise(archives):
        if other.span.base > one.span.last:
            yield ChainFinding(one.span.last, _gap(one.span.last, other.span.base))
        elif other.span.base == one.span.last and other.span.base_hash != one.span.last_hash:
            yield ChainFinding(one.span.last, f"{other.path.name} does not follow {one.path.name}.")
    newest = max(archives, key=lambda found: found.span.last)
    last, last_hash = newest.span.last, newest.span.last_hash
    if last < log.base:
        yield ChainFinding(last, _gap(last, log.base))
    elif last_hash != (log.base_hash if last == log.base else rows.hash_of(db, last)):
        yield ChainFinding(last, f"The log does not follow {newest.path.name}.")


def _gap(last: int, base: int) -> str:
    return f"Entries {last + 1} to {base} are in none of the archives given."


def _nothing() -> NotFoundError:
    return NotFoundError("The log has no entries to be written.")
