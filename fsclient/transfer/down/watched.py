"""Download jobs of a sync: the guard is asked once more just before a local file is replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from msgspec.structs import replace

from fsclient.transfer.down.files import DownloadJob
from fsclient.transfer.down.write_behind import Writable
from fsclient.transfer.local.files import LocalStat
from fsclient.transfer.pairs.guard import Guard


def watched(
    job: DownloadJob, guard: Guard, path: Path | str, relative: str, there: LocalStat | None
) -> DownloadJob:
    """Return the job; before its file is replaced, it must still be as `there` says.

    A download can take hours, in which the user may have saved a new version of the file.
    `relative` is the path from the top folder.
    """
    if not guard.watches:
        return job
    place = Path(path)

    def before() -> None:
        guard.make_room(relative, place, there)

    return _with(job, before, lambda: guard.note_here(relative, place, job.file))


def noted(job: DownloadJob, guard: Guard, path: Path, relative: str) -> DownloadJob:
    """Return the job; the guard notes its file."""
    return _with(job, lambda: None, lambda: guard.note_here(relative, path, job.file))


def _with(job: DownloadJob, before: Callable[[], None], after: Callable[[], None]) -> DownloadJob:
    at_once = job.at_once

    @contextmanager
    def target() -> Iterator[Writable]:
        with job.target() as written:
            yield written
            before()  # the block has verified the content, and its end gives the name
        after()

    def whole(plain: bytes) -> None:
        if at_once is not None:
            before()
            at_once(plain)
            after()

    wrapped: Callable[[], AbstractContextManager[Writable]] = target
    return replace(job, target=wrapped, at_once=whole if at_once else None)
