"""The audit log in the database: recording and verifying entries.

The transaction of an action also records its event: if the entry cannot be written, the action
does not happen. Only one transaction at a time locks the log's head, so entries are written last,
right before the commit. Then a holder of the head waits for no other lock, and the head is locked
only briefly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from sqlalchemy.orm import Session as Db

from fsd.audit import rows
from fsd.audit.chain import NO_HASH, ChainEntry, ChainFinding, Span, faults
from fsd.audit.events import AuditEvent
from fsd.auth.vault import Vault
from fsd.store.audit_models import AuditHead
from fsd.store.engine import Database, before_commit
from fsproto.errors import FsError, IntegrityError

AUDIT_KEY = 0
"""The user id under which the vault seals the log's key; no user has this id."""
_LONGEST = {"actor": 128, "subject": 64, "address": 64, "detail": 512}
"""Most characters in each column."""


class AuditBrokenError(FsError):
    """The audit log was altered; no action that it must record is carried out."""

    code = "audit-broken"
    exit_status = IntegrityError.exit_status
    default_hint = (
        "'fsadmin audit verify' says what is wrong; 'fsadmin audit rotate --broken FILE' puts "
        "the log aside as it is and starts a new one."
    )


@dataclass(frozen=True)
class AuditReport:
    """The result of verifying the whole log."""

    span: Span
    entries: int
    findings: list[ChainFinding]


class Actor(Protocol):
    """The user behind an action or an attempt over a connection."""

    @property
    def user(self) -> str:
        """The name."""

    @property
    def address(self) -> str:
        """The network address of the client."""


class AuditLog:
    """The audit log of one database."""

    def __init__(self, vault: Vault, now_ms: Callable[[], int]) -> None:
        """Initialise with the vault that seals the log's key, and the clock."""
        self._vault = vault
        self.now_ms = now_ms
        self._opened: tuple[bytes, bytes] | None = None

    def record(
        self,
        db: Db,
        event: AuditEvent,
        *,
        actor: str,
        subject: str = "",
        address: str = "",
        detail: str = "",
    ) -> None:
        """Record an event in the transaction of `db`.

        It is written right before the commit, even if a savepoint is rolled back until then. If it
        cannot be written, the transaction fails: `OutOfSpaceError`, `DatabaseError`,
        `AuditBrokenError`. The texts must contain no secret.
        """
        words = {"actor": actor, "subject": subject, "address": address, "detail": detail}
        kept = {name: _storable(word)[: _LONGEST[name]] for name, word in words.items()}
        before_commit(db, partial(self._append, self.now_ms(), event.value, kept))

    def record_own(self, db: Db, event: AuditEvent, who: Actor, detail: str = "") -> None:
        """Record an action of a user on the user's own account, as `record` does."""
        user, address = who.user, who.address
        self.record(db, event, actor=user, subject=user, address=address, detail=detail)

    def key(self, head: AuditHead) -> bytes:
        """Return the audit key; `IntegrityError` if it does not open under the master key."""
        if self._opened is None or self._opened[0] != head.sealed_key:
            opened = self._vault.open(head.sealed_key, AUDIT_KEY)
            self._opened = head.sealed_key, bytes.fromhex(opened)
        return self._opened[1]

    def _append(self, at_ms: int, event: str, words: dict[str, str], db: Db) -> None:
        head = rows.hold_head(db)
        if head is None:
            if not rows.is_empty(db):
                raise AuditBrokenError  # there was a head once
            head = self.begin(db, 0)
        elif not rows.span(head).proved(self.key(head), head.proof):
            raise AuditBrokenError  # a new entry would prove entries of an attacker
        entry = ChainEntry(head.last + 1, at_ms, event, **words)
        head.last, head.last_hash = entry.seq, entry.hash(head.last_hash)
        rows.add(db, entry, head.last_hash)
        self.prove(head)
        db.flush()

    def begin(self, db: Db, last: int, sealed_key: bytes | None = None) -> AuditHead:
        """Make a new head, under a new key if there is none; the next entry follows `last`."""
        if sealed_key is None:
            sealed_key = self._vault.seal(self._vault.new_key().hex(), AUDIT_KEY)
        beginning = self._vault.new_key()  # random: no two logs have an entry in common
        head = AuditHead(
            id=1,
            base=last,
            base_hash=beginning,
            last=last,
            last_hash=beginning,
            proof=b"",
            sealed_key=sealed_key,
        )
        self.prove(head)
        db.add(head)
        db.flush()
        return head

    def prove(self, head: AuditHead) -> None:
        """Compute the proof of a head for its current values."""
        head.proof = rows.span(head).proof(self.key(head))

    def look(self, database: Database) -> AuditReport:
        """Verify the whole chain in one snapshot."""
        with database.read() as db:
            head = rows.head(db)
            if head is None:
                lost = (
                    []
                    if rows.is_empty(db)
                    else [ChainFinding(0, "The head of the log was removed.")]
                )
                return AuditReport(Span(0, NO_HASH, 0, NO_HASH), 0, lost)
            span = rows.span(head)
            count = 0
            findings = []
            if not span.proved(self.key(head), head.proof):
                findings.append(ChainFinding(span.last, "The head of the log was altered."))

            def counted() -> Iterator[tuple[ChainEntry, bytes]]:
                nonlocal count
                for pair in rows.entries(db):
                    count += 1
                    yield pair

            findings += faults(span, counted())
        return AuditReport(span, count, findings)


def _storable(word: str) -> str:
    """Return a text without the characters that PostgreSQL cannot store."""
    return word.replace("\0", "").encode("utf-8", "replace").decode()
