"""The `put` command: the target of each local file, and the folders to create."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote

from fsclient.local_errors import local_errors
from fsclient.session.session import Session
from fsclient.transfer.local.files import LocalStat, is_folder, sizes
from fsclient.transfer.report.actions import MAKE_FOLDER, PUT, REPLACE
from fsclient.transfer.run import TransferRun
from fsclient.transfer.up.target import TargetFolder, checked_name, place_of
from fsclient.transfer.up.tree import TreeUpload
from fsclient.tree.commit import Committer
from fsclient.tree.nodes import TreeNode, must_be_folder
from fsclient.ui import binary_stdin
from fsproto.errors import ExistsError, FsError, NotFoundError, UsageError
from fsproto.limits import MAX_INLINE_BLOB
from fsproto.names import RemotePath, check_new_name, for_terminal
from fsproto.sealed.manifest import Mode

_RACES = 8
STDIN = "-"


class Put:
    """One `put` command."""

    def __init__(self, task: TransferRun) -> None:
        self._task = task
        self._session = task.session
        self._failures = task.failures
        self._actions = task.actions
        self._progress = task.progress
        self._filters = task.rules.filters
        self._up = TreeUpload(task)

    def run(self, sources: Sequence[str], target: RemotePath) -> str:
        """Put local files and folders; into `target` if it is a folder, else as `target`.

        Return a phrase that names the destination.
        """
        with self._up:
            into = self._goes_into(target, several=len(sources) > 1)
            found = [source for source in sources if self._is_there(source)]
            if found:
                if len(found) > 1 or (found != [STDIN] and is_folder(Path(found[0]))):
                    self._task.begin(as_name=not into)
                self._look_ahead(found)
                folder = target if into else target.parent
                place = place_for(self._task, folder)
                self._put_all(place, found, "" if into else target.name)
                self._up.finish()
        if not into:
            return f"as {target}"
        return f"into {target}/" if target.parts else ""

    def _goes_into(self, target: RemotePath, *, several: bool) -> bool:
        """Return whether the target is a folder to put into, not a new name."""
        found = self._session.tree.reach(target)[-1]
        there = len(found.path.parts) == len(target.parts)
        into = target.names_folder or (there and found.is_folder and not self._task.took_as_name)
        if several and not into:
            if there:
                must_be_folder(found)
            raise NotFoundError(
                f"There is no folder '{target}' for the others to go into.",
                hint=f"The last path is the target; '{target}/' has the folder made.",
            )
        return into

    def _look_ahead(self, sources: Sequence[str]) -> None:
        """Pass the known sizes of the sources to the progress report."""
        if not self._actions.dry_run:
            self._progress.look_ahead(self._sizes(sources))

    def _sizes(self, sources: Sequence[str]) -> Iterator[int]:
        for source in sources:
            if source == STDIN:
                yield -1
            else:
                yield from sizes(Path(source), self._filters)

    def _is_there(self, source: str) -> bool:
        try:
            if not source:
                raise UsageError("An empty path names nothing; '.' is the current folder.")
            if source != STDIN:
                is_folder(Path(source))
        except FsError as error:
            self._failures.note(error)
            return False
        return True

    def _put_all(self, place: TargetFolder, sources: Sequence[str], name: str) -> None:
        called: dict[str, list[str]] = {}
        for source in sources:
            with self._failures.noted():
                called.setdefault(name or self._name(source), []).append(source)
        for remote, some in called.items():
            with self._failures.noted():
                if len(some) > 1:
                    named = " and ".join(f"'{for_terminal(one)}'" for one in some)
                    raise ExistsError(
                        f"The local {named} would all be put as '{for_terminal(remote)}'; "
                        "none of them was put.",
                        hint="Put each of them under a name of its own.",
                    )
                self._put(place, some[0], remote)

    def _name(self, source: str) -> str:
        """Return the remote name of a source."""
        if source == STDIN:
            raise UsageError("Standard input needs a name: fsclient put - NAME")
        path = Path(source)
        # `.` and `d/..` get the name of the folder that they resolve to.
        name = path.name if path.name not in ("", "..") else path.resolve().name
        if not name:
            raise UsageError(
                f"'{for_terminal(source)}' has no name of its own.",
                hint=f"Give it one: fsclient put {quote(for_terminal(source))} NAME",
            )
        return checked_name(path, name)

    def _put(self, place: TargetFolder, source: str, name: str) -> None:
        before = self._existing(place, name)
        if before is None:
            check_new_name(name)
        if source == STDIN:
            if self._actions.dry_run:
                self._actions.note(REPLACE if before else PUT, place.path.child(name))
                return
            self._up.send(place, name, _must_be_file(before), _Pipe())
        elif is_folder(Path(source)):
            self._up.folder(place, Path(source), name, before)
        else:
            self._up.file(place, Path(source), name, before)

    def _existing(self, place: TargetFolder, name: str) -> TreeNode | None:
        if place.located is None:
            return None
        return self._session.tree.look(place.located, [name])[name]


class _Pipe:
    """Standard input as a source; its length is unknown unless it is short."""

    def __init__(self) -> None:
        self._file = binary_stdin()
        self._ended = False
        self._head = memoryview(bytearray(MAX_INLINE_BLOB))
        self._head = self._head[: self._fill(self._head)]
        size = len(self._head) if self._ended else -1
        self.facts = LocalStat(size, time.time_ns(), Mode.REGULAR)

    def read_into(self, room: memoryview) -> int:
        count = min(len(room), len(self._head))
        room[:count], self._head = self._head[:count], self._head[count:]
        return count + self._fill(room[count:])

    def check_unchanged(self, size: int) -> None:
        """Do nothing: data from a pipe is read only once and cannot change."""

    def _fill(self, room: memoryview) -> int:
        if self._ended:  # a terminal would wait for another end-of-file key
            return 0
        with local_errors("Standard input"):
            count: int = self._file.readinto(room)  # type: ignore[attr-defined]
        self._ended = count < len(room)  # a buffered read is short only at the end
        return count


def _must_be_file(before: TreeNode | None) -> TreeNode | None:
    if before is not None and before.is_folder:
        raise ExistsError(f"'{before.path}' is a folder; a file cannot take its place.")
    return before


def place_for(task: TransferRun, path: RemotePath) -> TargetFolder:
    """Return the folder at `path` as a target; create and count missing folders."""
    found = task.session.tree.reach(path)[-1]
    there = len(found.path.parts)
    missing = range(there + 1, len(path.parts) + 1)
    for end in missing:
        folder = RemotePath(found.path.owner, path.parts[:end])
        task.actions.note(MAKE_FOLDER, f"{folder}/")
    if task.actions.dry_run and missing:
        return TargetFolder(
            must_be_folder(found).keyed, RemotePath(found.path.owner, path.parts), None
        )
    place = place_of(ensure_folder(task.session, path))
    for _ in missing:
        task.progress.folder_done()
    return place


def ensure_folder(session: Session, path: RemotePath) -> TreeNode:
    """Return the folder at `path`; create missing folders."""
    for _ in range(_RACES):
        found = must_be_folder(session.tree.reach(path)[-1])
        missing = path.parts[len(found.path.parts) :]
        if not missing:
            return found
        changes, keyed = Committer(session.tree), found.keyed
        for name in missing:
            keyed = changes.make_folder(keyed, name, time.time_ns())
        try:
            changes.commit()
        except ExistsError:
            continue  # another client created it concurrently; look again
    return must_be_folder(session.tree.find(path))
