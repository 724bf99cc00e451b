"""The `get` command: the files to download, and the local target of each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fsclient import ui
from fsclient.local_errors import local_errors
from fsclient.session.session import Session
from fsclient.transfer.down.files import DownloadJob
from fsclient.transfer.down.many import get_all
from fsclient.transfer.down.tree import TreeDownload
from fsclient.transfer.down.write_behind import Writable
from fsclient.transfer.local.files import OutputFile
from fsclient.transfer.local.folder_names import local_folder
from fsclient.transfer.report.actions import MAKE_FOLDER
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.run import TransferRun
from fsclient.tree.nodes import TreeNode
from fskit.files import make_folders
from fsproto.errors import ExistsError, NotFoundError, UsageError
from fsproto.names import RemotePath, for_terminal

STDOUT = "-"


class Get:
    """One `get` command."""

    def __init__(self, task: TransferRun, version: int | None = None) -> None:
        self._task = task
        self._version = version
        self._session = task.session
        self._failures = task.failures
        self._actions = task.actions
        self._down = TreeDownload(task)

    def run(self, sources: Sequence[RemotePath], target: str) -> str:
        """Get files and folders; into `target` if it is a folder, else as `target`.

        Return a phrase that names the destination.
        """
        into = self._goes_into(target, several=len(sources) > 1)
        names = local_folder(Path(target), self._task.names(may_write=True)) if into else None
        for source in sources:
            with self._failures.noted():
                found = _found(self._session, source, self._version)
                if len(sources) > 1 or found.is_folder:
                    self._task.begin(as_name=not into)
                if names is None:
                    self._down.add(found, Path(target), follow=True)
                    continue
                place_for(self._task, Path(target))
                # The root of a tree has no name: its contents go directly into the target.
                if found.path.name:
                    self._down.add(found, Path(target) / names.give(found.path))
                else:
                    self._down.add(found, Path(target), follow=True)
        self._down.finish()
        if not into:
            return f"as {target}"
        return "" if Path(target) == Path() else f"into {target.rstrip('/')}/"

    def _goes_into(self, target: str, *, several: bool) -> bool:
        """Return whether the target is a folder to write into, not a new name."""
        if not target:
            raise UsageError("An empty path names nothing; '.' is the current folder.")
        into = target.endswith(("/", os.sep)) or (
            os.path.isdir(target) and not self._task.took_as_name  # noqa: PTH112 - never raises
        )
        if several and not into:
            if os.path.lexists(target):
                raise ExistsError(f"The local '{for_terminal(target)}' is not a folder.")
            raise NotFoundError(
                f"There is no local folder '{for_terminal(target)}' for the others to go into.",
                hint=f"The last path is the target; '{for_terminal(target)}/' has it made.",
            )
        return into


def _found(session: Session, path: RemotePath, version: int | None) -> TreeNode:
    found = session.tree.find(path)
    if version is None:
        return found
    from fsclient.tree.history import FileHistory

    return FileHistory(session.tree).at(found, version)


def to_stdout(
    session: Session,
    sources: Sequence[RemotePath],
    progress: Progress,
    failures: Failures,
    version: int | None = None,
) -> str:
    """Write files to standard output in order; for a link, write its target.

    Each segment is verified before it is written, but a missing end is detected only at the end:
    the reader of the pipe must check the exit status.
    """
    found = [_found(session, source, version) for source in sources]
    if any(one.is_folder for one in found):
        raise UsageError("A folder cannot be written to standard output.")
    for one in found:  # one at a time: requests made together may finish out of order
        get_all(session, [DownloadJob(one, _stdout, may_wait=True)], progress, failures)
    return ""


def place_for(task: TransferRun, folder: Path) -> None:
    """Create and count a local folder and its missing parents."""
    missing = []
    for one in (folder, *folder.parents):
        if os.path.isdir(one):  # noqa: PTH112 - never raises
            break
        missing.append(one)
    for one in reversed(missing):
        task.actions.note(MAKE_FOLDER, f"{one}{os.sep}")
    if missing and not task.actions.dry_run:
        with local_errors(folder):
            make_folders(folder)
        for _ in missing:
            task.progress.folder_done()


@contextmanager
def _stdout() -> Iterator[Writable]:
    stdout = ui.binary_stdout()
    yield OutputFile(stdout, ui.STDOUT)
    with local_errors(ui.STDOUT):
        stdout.flush()
