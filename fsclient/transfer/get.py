"""What a `get` means: which files are asked for, and where each of them goes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from fsclient.errors import local_errors
from fsclient.session import Session
from fsclient.transfer.download import Downloader, Job, Writable
from fsclient.transfer.failures import Failures
from fsclient.transfer.localfs import LocalFacts, local_name, make_folder, written_whole
from fsclient.transfer.progress import Progress
from fsclient.tree import Located
from fsproto.errors import ExistsError, FsError, NotFoundError, UsageError
from fsproto.names import RemotePath

STDOUT = "-"


class Get:
    """One `get` command."""

    def __init__(self, session: Session, progress: Progress, failures: Failures) -> None:
        """Take where to get from, and whom to tell."""
        self._session = session
        self._progress = progress
        self._failures = failures
        self._folders: list[tuple[Path, Located]] = []

    def run(self, sources: Sequence[RemotePath], target: str) -> None:
        """Get files and folders; into `target` if it is a folder, else as `target`."""
        into = len(sources) > 1 or Path(target).is_dir() or target.endswith(("/", os.sep))
        jobs: list[Job] = []
        for source in sources:
            try:
                found = self._session.tree.find(source)
                jobs += self._jobs(found, _place(found, target, into=into))
            except FsError as error:
                self._failures.note(error)
        self._get(jobs)
        for path, folder in reversed(self._folders):
            mtime_ns = folder.metadata.mtime_ns
            with local_errors(path):
                os.utime(path, ns=(mtime_ns, mtime_ns))

    def to_stdout(self, sources: Sequence[RemotePath]) -> None:
        """Write files to standard output, one after the other.

        Each segment is verified before it is written, but that nothing was cut off at the end is
        known only at the end: whoever reads the pipe must look at the exit status.
        """
        found = [self._session.tree.find(source) for source in sources]
        if any(one.is_folder for one in found):
            raise UsageError("A folder cannot be written to standard output.")
        self._get([Job(one, _stdout) for one in found])

    def _get(self, jobs: list[Job]) -> None:
        for job in jobs:
            self._progress.expect(job.file.metadata.size)
        downloader = Downloader(self._session, self._progress)
        try:
            downloader.get_all(jobs, self._failures.note)
        finally:
            downloader.close()

    def _jobs(self, found: Located, path: Path) -> Iterator[Job]:
        """Give everything under a node, making local folders on the way."""
        if not found.is_folder:
            if path.is_dir():
                raise ExistsError(f"The local {path} is a folder; a file cannot take its place.")
            meta = found.metadata
            facts = LocalFacts(meta.size, meta.mtime_ns, meta.executable)
            yield Job(found, partial(_local, path, facts))
            return
        make_folder(path)
        self._folders.append((path, found))
        for child in self._session.tree.children(found):
            try:
                yield from self._jobs(child, path / local_name(child.metadata.name))
            except FsError as error:
                self._failures.note(error)


def _place(found: Located, target: str, *, into: bool) -> Path:
    """Return where one source goes."""
    if not into:
        return Path(target)
    if not Path(target).is_dir():
        raise NotFoundError(f"There is no local folder {target}.")
    return Path(target) / local_name(found.metadata.name) if found.metadata.name else Path(target)


@contextmanager
def _local(path: Path, facts: LocalFacts) -> Iterator[Writable]:
    with written_whole(path, facts) as file:
        yield _Local(file, path)


@contextmanager
def _stdout() -> Iterator[Writable]:
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


@dataclass
class _Local:
    """A local file that says what went wrong in our own words."""

    file: BinaryIO
    path: Path

    def write(self, data: bytes, /) -> None:
        view = memoryview(data)
        with local_errors(self.path):
            while view:
                view = view[self.file.write(view) :]
