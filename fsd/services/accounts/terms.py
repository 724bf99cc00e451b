"""The terms of an account: its quota, its expiry and its note."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from sqlalchemy.orm import Session as Db

from fsd.policies import NO_LIMIT
from fsd.store import models
from fsd.store.repos import quotas, sessions
from fskit.text import binary_size_text
from fsproto.errors import UsageError

T = TypeVar("T")

MAX_NOTE = 500
"""Characters of a note."""


@dataclass(frozen=True)
class NewValue(Generic[T]):
    """The new value of a term."""

    value: T


@dataclass(frozen=True)
class AccountTerms:
    """The terms to set; a term that is None stays unchanged."""

    quota_bytes: NewValue[int | None] | None = None
    quota_files: NewValue[int | None] | None = None
    """A number, `NO_LIMIT`, or (as None) the general limit in the settings."""
    expires_ms: NewValue[int | None] | None = None
    """When the account expires, in Unix milliseconds; None: never."""
    note: str | None = None

    def ended(self, now_ms: int) -> bool:
        """Return whether an account on these terms has expired."""
        ends = self.expires_ms.value if self.expires_ms is not None else None
        return ends is not None and ends <= now_ms

    @property
    def told(self) -> str:
        """Return the new terms for the audit log, without the text of the note."""
        words = []
        if self.quota_bytes is not None:
            words.append(f"quota of bytes: {_limit(self.quota_bytes.value, size=True)}")
        if self.quota_files is not None:
            words.append(f"quota of files: {_limit(self.quota_files.value)}")
        if self.expires_ms is not None:
            words.append(f"expires: {moment(self.expires_ms.value)}")
        if self.note is not None:
            words.append("note")
        return ", ".join(words)

    def put(self, db: Db, user: models.User) -> None:
        """Store the terms; the user's quota row and login state are locked."""
        row = quotas.get(db, user.id)
        if row is not None and self.quota_bytes is not None:
            row.most_bytes = self.quota_bytes.value
        if row is not None and self.quota_files is not None:
            row.most_files = self.quota_files.value
        if self.expires_ms is not None:
            user.expires_ms = self.expires_ms.value
            if user.expires_ms is not None:
                sessions.end_by(db, user.id, user.expires_ms)
        if self.note is not None:
            user.note = self.note


def clean_note(text: str) -> str:
    """Return a valid note; `UsageError` otherwise. Terminal output cleans it again."""
    if len(text) > MAX_NOTE or not text.isprintable():
        raise UsageError(f"A note has at most {MAX_NOTE} printable characters, all in one line.")
    return text


def moment(at_ms: int | None) -> str:
    """Return a time as text for people and for the audit log."""
    if at_ms is None:
        return "never"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _limit(value: int | None, *, size: bool = False) -> str:
    if value is None:
        return "default"
    if value == NO_LIMIT:
        return "none"
    return binary_size_text(value) if size else str(value)
