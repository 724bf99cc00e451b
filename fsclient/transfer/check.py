"""The `check` command: compares a local folder with a remote one, and changes nothing.

Contents are compared by their salted hashes (`compare.ContentComparer`): the local files are read
and sealed in memory, and nothing is fetched or sent.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from fsclient.transfer.compare import ContentComparer
from fsclient.transfer.local.files import FOLDER, LocalStat, kind_at
from fsclient.transfer.run import TransferRun
from fsclient.transfer.sync import SyncPair
from fsclient.transfer.twoway.plan import RemoteFile
from fsclient.transfer.twoway.sides import Sides
from fsclient.tree.nodes import must_be_folder
from fsproto.errors import ExistsError, FsError, NotFoundError
from fsproto.names import for_terminal
from fsproto.sealed.manifest import Mode
from fsproto.values import Value


class Finding(StrEnum):
    """How an entry differs between the two folders."""

    ONLY_LOCAL = "only local"
    ONLY_REMOTE = "only remote"
    KIND = "other kind"
    """A file, a folder or a symbolic link on one side, and another of these on the other side."""
    SIZE = "other size"
    CONTENT = "other content"


class Difference(Value, frozen=True):
    """One difference; the path is from the top folder. That of a missing folder ends in `/`."""

    finding: Finding
    path: str


class FolderCheck:
    """One `check` command."""

    def __init__(self, task: TransferRun) -> None:
        """Use the session, the filters and the reports of `task`."""
        self._task = task
        self._compare = ContentComparer(task.session)
        self.same = 0
        """Files and links that both sides have alike."""
        self.found: list[Difference] = []

    def run(self, way: SyncPair, *, one_way: bool) -> None:
        """Compare the two folders; with `one_way`, the target may have more than the source."""
        top = Path(way.local)
        if (kind := kind_at(top, follow=True)) != FOLDER:
            shown = for_terminal(way.local)
            if kind is None:
                raise NotFoundError(f"There is no local folder '{shown}'.")
            raise ExistsError(f"The local '{shown}' is not a folder.")
        remote = must_be_folder(self._task.session.tree.find(way.remote))
        sides = Sides(self._task, top, way.remote)
        sides.list_local()
        sides.list_remote(remote)
        source = sides.remote if way.down else sides.local
        paths = set(source) if one_way else set(sides.local) | set(sides.remote)
        self._look_at(sides, sorted(paths - sides.left_alone, key=lambda path: path.split("/")))

    def _look_at(self, sides: Sides, paths: list[str]) -> None:
        to_read = []
        for path in paths:
            finding = _differs(path, sides.local, sides.remote)
            if finding is not None:
                folder = path in sides.local and sides.local[path] is None
                folder |= path in sides.remote and sides.remote[path] is None
                slash = "/" * (folder and finding is not Finding.KIND)
                self.found.append(Difference(finding, path + slash))
            elif (facts := sides.local[path]) is not None:
                self._task.progress.expect(facts.size)
                to_read.append((path, facts))
        for path, facts in to_read:
            self._read(sides, path, facts)
        self.found.sort(key=lambda one: one.path.split("/"))

    def _read(self, sides: Sides, path: str, facts: LocalStat) -> None:
        """Compare the contents of a file; an error is noted as its failure."""
        node, place, progress = sides.nodes[path], sides.place(path), self._task.progress
        try:
            with progress.begin_file(path, facts.size) as moving:
                is_same = self._compare.has_same_content(node, place, facts, moving.advance)
        except FsError as error:
            self._task.failures.note(error)
            return
        progress.file_done()
        if is_same:
            self.same += 1
        else:
            self.found.append(Difference(Finding.CONTENT, path))


def _differs(
    path: str, local: dict[str, LocalStat | None], remote: dict[str, RemoteFile | None]
) -> Finding | None:
    """Return how an entry differs, as far as that is known without its content."""
    if path not in remote:
        return Finding.ONLY_LOCAL
    if path not in local:
        return Finding.ONLY_REMOTE
    here, there = local[path], remote[path]
    if here is None or there is None:
        return None if here is None and there is None else Finding.KIND
    if (here.mode is Mode.SYMLINK) != (there.mode is Mode.SYMLINK):
        return Finding.KIND
    return None if here.size == there.size else Finding.SIZE
