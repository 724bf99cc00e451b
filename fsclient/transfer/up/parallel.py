"""Upload of several large files at the same time, each over a connection of its own.

The threads of the movers send the contents. In the meantime, the main thread puts other files; it
enters a large file in its folder when its content has arrived.
"""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial

from fsclient.connection.retry import WORTH_KEEPING, can_go_on
from fsclient.session.session import Session
from fsclient.transfer.journal import Journal
from fsclient.transfer.local.source import Source
from fsclient.transfer.movers import Movers
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.run import TransferRun
from fsclient.transfer.segments import PlaintextSource
from fsclient.transfer.up.batch import BatchUploader, FileTarget
from fsclient.transfer.up.stream import SealingWorkers, StreamedFile, StreamUpload
from fsproto.errors import FsError
from fsproto.names import RemotePath
from fsproto.types import NodeId
from fsproto.values import Value

_LOOK_S = 1.0
"""Seconds after which other files are committed, if they are due, while all threads are busy."""
_ABORT_S = 5.0


class _LargeFile(Value, frozen=True):
    """A file under way."""

    target: FileTarget
    path: RemotePath
    source: Source
    journal: Journal | None


class ParallelUploads:
    """The large files of one command that are under way."""

    def __init__(self, uploader: BatchUploader, movers: Movers, task: TransferRun) -> None:
        """`uploader` commits the files; the failure of one is noted in the reports of `task`."""
        self._uploader = uploader
        self._movers = movers
        self._progress = task.progress
        self._failures = task.failures
        self._under_way: dict[Future[StreamedFile], _LargeFile] = {}

    def start(self, target: FileTarget, path: RemotePath, source: PlaintextSource) -> bool:
        """Start to upload a large file, and wait while all threads are busy.

        Return False for any other source. The source of a large file is closed later.
        """
        if not isinstance(source, Source) or source.facts.size < WORTH_KEEPING:
            return False
        journal = self._uploader.journal_for(target, source)
        file = _LargeFile(target, path, source, journal)
        work = partial(_send, file, self._uploader.folder_for(target.parent), self._progress)
        self._under_way[self._movers.start(work)] = file
        while len(self._under_way) >= self._movers.count:
            self._wait()
        return True

    def take_done(self) -> None:
        """Enter the files that have arrived in the meantime."""
        for one in [one for one in self._under_way if one.done()]:
            self._enter(one)

    def finish(self) -> None:
        """Wait for all files, and enter them."""
        while self._under_way:
            self._wait()

    def close(self) -> None:
        """End what is under way after a failure; what has a journal can be resumed."""
        if not self._under_way:
            return
        self._movers.abort()
        for one in wait(self._under_way, _ABORT_S).done:
            # Only now: a thread that still reads could read another file under the same number.
            file = self._under_way.pop(one)
            file.source.close()
            if file.journal is not None:
                self._uploader.keep(file.journal)

    def _wait(self) -> None:
        wait(self._under_way, _LOOK_S, FIRST_COMPLETED)
        self.take_done()
        self._uploader.flush_if_full()

    def _enter(self, one: Future[StreamedFile]) -> None:
        file = self._under_way.pop(one)
        source, journal = file.source, file.journal
        source.close()
        try:
            sent = one.result()
        except FsError as error:
            if journal is not None and can_go_on(error):
                self._uploader.keep(journal)
            elif journal is not None:
                journal.remove()
            self._failures.note(error)
            return
        self._uploader.enter(file.target, source.facts, sent, journal=journal)


def _send(
    file: _LargeFile, folder: NodeId | None, progress: Progress, session: Session
) -> StreamedFile:
    """Upload the content of a file, in a thread of the movers."""
    workers, size = SealingWorkers(), file.source.facts.size
    try:
        with progress.begin_file(str(file.path), size) as moving:
            return StreamUpload(
                session,
                moving,
                workers,
                source=file.source,
                journal=file.journal,
                before=file.target.before,
                folder=folder,
            ).run()
    finally:
        workers.close()
