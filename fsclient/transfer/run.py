"""The objects that all parts of one `put`, `get` or `sync` share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fsclient.session.session import Session
from fsclient.transfer.journal import Journals
from fsclient.transfer.local.folder_names import DiskNames
from fsclient.transfer.options import TransferOptions
from fsclient.transfer.pairs.guard import NO_GUARD, Guard
from fsclient.transfer.report.actions import Actions
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.resume import ResumeMarker
from fskit.file_names import FolderNames
from fsproto.values import Value

if TYPE_CHECKING:
    from fsclient.transfer.movers import Movers


class TransferRun(Value, frozen=True):
    """The shared state of one command: session, reports, options and markers."""

    session: Session
    progress: Progress
    failures: Failures
    actions: Actions
    rules: TransferOptions = msgspec.field(default_factory=TransferOptions)
    journals: Journals | None = None
    """Upload journals of large files; None keeps none."""
    unfinished: ResumeMarker | None = None
    """The marker of the unfinished command; None keeps none."""
    guard: Guard = NO_GUARD
    """What may be replaced; `put` and `get` replace what the user names."""
    movers: Movers | None = None
    """Threads that transfer large files at the same time; None transfers one after the other."""
    folder_names: FolderNames | None = None
    """How local folders take names; None asks the folders on disk."""

    def names(self, *, may_write: bool) -> FolderNames:
        """Return how local folders take names; `may_write` is as for `DiskNames`."""
        return self.folder_names or DiskNames(may_write=may_write and not self.actions.dry_run)

    def begin(self, *, as_name: bool) -> None:
        """Write the start marker, unless this is a dry run or cannot be resumed."""
        if self.unfinished is not None and self.session.retry.resumes and not self.actions.dry_run:
            self.unfinished.begin(as_name=as_name)
            self.session.retry.unfinished = True

    @property
    def took_as_name(self) -> bool:
        """Return whether the resumed command used its target as a new name."""
        return self.unfinished is not None and self.unfinished.took_as_name
