"""What the parts of one `put`, `get` or `sync` have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

from fsclient.session import Session
from fsclient.transfer.actions import Actions
from fsclient.transfer.failures import Failures
from fsclient.transfer.journal import Journals
from fsclient.transfer.progress import Progress
from fsclient.transfer.rules import Rules


@dataclass(frozen=True)
class Task:
    """One command: who works, whom to tell of what, and how what is there is met."""

    session: Session
    progress: Progress
    failures: Failures
    actions: Actions
    rules: Rules = field(default_factory=Rules)
    journals: Journals | None = None
    """Where it is kept how far large files have come; None keeps nothing."""
