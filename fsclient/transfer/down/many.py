"""The download of many files: large ones at the same time, if there are sessions for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from fsclient.connection.retry import WORTH_KEEPING
from fsclient.session.session import Session
from fsclient.transfer.down.files import Downloader, DownloadJob, named_error
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fsproto.errors import FsError

if TYPE_CHECKING:
    from fsclient.transfer.movers import Movers


def get_all(
    session: Session,
    jobs: list[DownloadJob],
    progress: Progress,
    failures: Failures,
    movers: Movers | None = None,
) -> None:
    """Download files, large ones with `movers`; record errors of single files in `failures`."""
    for job in jobs:
        progress.expect(job.file.metadata.size)
    small, large = jobs, list[DownloadJob]()
    if movers is not None:
        small = [job for job in jobs if job.file.metadata.size < WORTH_KEEPING]
        large = [job for job in jobs if job.file.metadata.size >= WORTH_KEEPING]
    under_way = []
    if movers is not None and large:
        # Signatures are verified by the session that has listed the folders.
        shared = _SharedJobs(_verified(session, large, failures.note))
        work = partial(_get_shared, jobs=shared, progress=progress, failed=failures.note)
        under_way = [movers.start(work) for _ in range(min(movers.count, len(large)))]
    downloader = Downloader(session, progress)
    try:
        downloader.get_all(small, failures.note)
    finally:
        downloader.close()
    for one in under_way:
        one.result()


class _SharedJobs:
    """An iterator that several threads use."""

    def __init__(self, jobs: Iterator[DownloadJob]) -> None:
        self._jobs = jobs
        self._lock = Lock()

    def __iter__(self) -> Iterator[DownloadJob]:
        return self

    def __next__(self) -> DownloadJob:
        with self._lock:
            return next(self._jobs)


def _verified(
    session: Session, jobs: Sequence[DownloadJob], failed: Callable[[FsError], None]
) -> Iterator[DownloadJob]:
    """Return the jobs whose manifests have a signature that counts; pass errors to `failed`."""
    found = []
    for job in jobs:
        try:
            session.context.authors.check_manifest(job.file.manifest)
        except FsError as error:
            failed(named_error(job, error))
            continue
        found.append(job)
    return iter(found)


def _get_shared(
    session: Session, *, jobs: _SharedJobs, progress: Progress, failed: Callable[[FsError], None]
) -> None:
    """Download verified files until none is left; pass errors of single files to `failed`."""
    downloader = Downloader(session, progress, verified=True)
    try:
        downloader.get_all(jobs, failed)
    finally:
        downloader.close()
