"""What a `get` means: which files are asked for, and where each of them goes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from fsclient import ui
from fsclient.errors import local_errors
from fsclient.session import Session
from fsclient.transfer.download import Downloader, Job, Writable
from fsclient.transfer.failures import Failures
from fsclient.transfer.localfs import (
    LocalFacts,
    local_name,
    make_folder,
    same_file_key,
    written_whole,
)
from fsclient.transfer.progress import Progress
from fsclient.tree import Located
from fsproto.errors import ExistsError, FsError, NotFoundError, UsageError
from fsproto.names import RemotePath, for_terminal

STDOUT = "-"


class Get:
    """One `get` command."""

    def __init__(self, session: Session, progress: Progress, failures: Failures) -> None:
        """Take where to get from, and whom to tell."""
        self._session = session
        self._progress = progress
        self._failures = failures
        self._folders: list[tuple[Path, Located]] = []

    def run(self, sources: Sequence[RemotePath], target: str) -> str:
        """Get files and folders; into `target` if it is a folder, else as `target`.

        Returns in words where they went.
        """
        into = self._goes_into(target, several=len(sources) > 1)
        jobs: list[Job] = []
        taken: set[str] = set()
        for source in sources:
            try:
                found = self._session.tree.find(source)
                jobs += self._jobs(found, _place(found, target, taken) if into else Path(target))
            except FsError as error:
                self._failures.note(error)
        self._get(jobs)
        for path, folder in reversed(self._folders):
            mtime_ns = folder.metadata.mtime_ns
            with local_errors(path):
                os.utime(path, ns=(mtime_ns, mtime_ns))
        if not into:
            return f"as {target}"
        return "" if Path(target) == Path() else f"into {target.rstrip('/')}/"

    def _goes_into(self, target: str, *, several: bool) -> bool:
        """Tell whether the target is a folder to put things into, rather than a new name."""
        if not target:
            raise UsageError("An empty path names nothing; '.' is the current folder.")
        into = os.path.isdir(target) or target.endswith(("/", os.sep))  # noqa: PTH112 - never raises
        if several and not into:
            if os.path.lexists(target):
                raise ExistsError(f"The local '{for_terminal(target)}' is not a folder.")
            raise NotFoundError(
                f"There is no local folder '{for_terminal(target)}' for the others to go into.",
                hint=f"The last path is where they go; '{for_terminal(target)}/' has it made.",
            )
        return into

    def to_stdout(self, sources: Sequence[RemotePath]) -> str:
        """Write files to standard output, one after the other.

        Each segment is verified before it is written, but that nothing was cut off at the end is
        known only at the end: whoever reads the pipe must look at the exit status.
        """
        found = [self._session.tree.find(source) for source in sources]
        if any(one.is_folder for one in found):
            raise UsageError("A folder cannot be written to standard output.")
        for one in found:  # the order counts, which is not kept among those asked for at once
            self._get([Job(one, _stdout)])
        return ""

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
            if os.path.isdir(path):  # noqa: PTH112 - never raises
                raise ExistsError(
                    f"The local '{for_terminal(str(path))}' is a folder; "
                    "a file cannot take its place."
                )
            meta = found.metadata
            facts = LocalFacts(meta.size, meta.mtime_ns, meta.mode)
            yield Job(found, partial(_local, path, facts))
            return
        if make_folder(path):
            self._progress.folder_done()
        self._folders.append((path, found))
        taken: set[str] = set()
        for child in self._session.tree.children(found):
            try:
                yield from self._jobs(child, path / _local_name(child, taken))
            except FsError as error:
                self._failures.note(error)


def _place(found: Located, target: str, taken: set[str]) -> Path:
    """Return where one of the sources goes in the target folder, which is made if need be."""
    folder = Path(target)
    with local_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    # The top of a tree has no name: what is in it goes right into the target.
    return folder / _local_name(found, taken) if found.metadata.name else folder


def _local_name(found: Located, taken: set[str]) -> str:
    """Return the name that something gets in a local folder; `taken` are those given already."""
    name = local_name(found.metadata.name)
    key = same_file_key(name)
    if key in taken:
        raise ExistsError(f"'{found.path}' would replace what was got under the same name.")
    taken.add(key)
    return name


@contextmanager
def _local(path: Path, facts: LocalFacts) -> Iterator[Writable]:
    with written_whole(path, facts) as file:
        yield _Local(file, path)


@contextmanager
def _stdout() -> Iterator[Writable]:
    stdout = ui.binary_stdout()
    yield _Local(stdout, ui.STDOUT)
    with local_errors(ui.STDOUT):
        stdout.flush()


@dataclass
class _Local:
    """A local file that says what went wrong in our own words."""

    file: BinaryIO
    called: Path | str

    def write(self, data: bytes | memoryview, /) -> None:
        view = memoryview(data)
        with local_errors(self.called):
            while view:
                view = view[self.file.write(view) :]
