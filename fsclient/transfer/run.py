"""The objects that all parts of one `put`, `get` or `sync` share."""

from __future__ import annotations

import msgspec

from fsclient.session.login import Session
from fsclient.transfer.journal import Journals
from fsclient.transfer.options import TransferOptions
from fsclient.transfer.report.actions import Actions
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.resume import ResumeMarker
from fsproto.values import Value


class TransferRun(Value, frozen=True):
    """One command: who works, whom to tell of what, and how what is there is met."""

    session: Session
    progress: Progress
    failures: Failures
    actions: Actions
    rules: TransferOptions = msgspec.field(default_factory=TransferOptions)
    journals: Journals | None = None
    """Where it is kept how far large files have come; None keeps nothing."""
    unfinished: ResumeMarker | None = None
    """Where it is kept that the command has begun; None does not."""

    def begin(self, *, as_name: bool) -> None:
        """Note that it begins, unless nothing is to be done, or to be gone on with."""
        if (
            self.unfinished is not None
            and self.session.persistence.resumes
            and not self.actions.dry_run
        ):
            self.unfinished.begin(as_name=as_name)
            self.session.persistence.unfinished = True

    @property
    def took_as_name(self) -> bool:
        """Return whether this goes on with a command that took its target for a new name."""
        return self.unfinished is not None and self.unfinished.took_as_name
