"""Copying inside a tree and between trees: new nodes with new keys, and content sealed again.

The content of a file is bound to its node, so it cannot be used for another node as it is (decision
29). This machine opens it and seals it for the copy: small files in memory, large ones in a stream
that a second session receives while the first one sends. No plaintext touches a disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fsclient.operations.copied_content import LargeReader, MemorySource, PipedSource, get_small
from fsclient.operations.walk import walk
from fsclient.session.session import Session
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.run import TransferRun
from fsclient.transfer.up.target import TargetFolder, place_of
from fsclient.transfer.up.tree import TreeUpload
from fsclient.tree.nodes import TreeNode
from fsclient.ui import Ui
from fsproto.errors import ExistsError, NotAllowedError, Unreachable, UsageError
from fsproto.sealed.manifest import dropped_of
from fsproto.types import NodeId
from fsproto.values import Value

IN_MEMORY = 4 << 20
"""Bytes; a larger file is not held in memory as a whole."""
_TOGETHER = 16 << 20
"""Bytes of small files that are held in memory together."""
_MOST_TOGETHER = 400
_NAMES_AT_ONCE = 500
Wanted = tuple[TreeNode, str]
"""A node to copy, and the name of the copy."""


class _FileCopy(Value, frozen=True):
    """A file to copy, and its place; `before` is the file that it replaces."""

    file: TreeNode
    place: TargetFolder
    name: str
    before: TreeNode | None


class CopyOperation:
    """One `cp` command."""

    def __init__(
        self, task: TransferRun, second: Callable[[], Session], ui: Ui, *, force: bool
    ) -> None:
        """`second` opens another session, for large files; it is called in another thread.

        With `force`, a file replaces an existing one, as its next version.
        """
        self._task = task
        self._tree = task.session.tree
        self._failures = task.failures
        self._force = force
        self._up = TreeUpload(task)
        self._quiet = Progress(ui, "", "")
        self._reader = LargeReader(second, self._quiet)
        self._inside: dict[NodeId, list[TreeNode]] = {}
        """The entries of each folder to copy."""
        self._waiting: list[_FileCopy] = []
        self._held = 0
        self._made: set[tuple[NodeId, str]] = set()
        """The names that this command has given, each with its folder."""

    def run(self, sources: Sequence[TreeNode], folder: TreeNode, name: str) -> None:
        """Copy nodes into a folder; a single one under `name`, unless `name` is empty."""
        wanted = []
        for source in sources:
            with self._failures.noted():
                self._check(source, folder, name or source.metadata.name)
                if self._is_chosen(source):
                    wanted.append((source, name or source.metadata.name))
        try:
            with self._up:
                self._copy_all(place_of(folder), wanted)
                self._copy_waiting()
                self._up.finish()
        finally:
            self._reader.close()

    def _check(self, source: TreeNode, folder: TreeNode, name: str) -> None:
        if not name:
            raise UsageError(
                f"'{source.path}' has no name of its own.",
                hint="Give the copy a name that does not exist yet: fsclient cp -r REMOTE NAME",
            )
        above: TreeNode | None = folder
        while above is not None:
            if source.is_folder and above.keyed.node == source.keyed.node:
                raise NotAllowedError(f"'{source.path}' cannot be copied into itself.")
            above = above.above

    def _is_chosen(self, source: TreeNode) -> bool:
        """Return whether filters take a file, or a file in a folder, whose entries are listed."""
        filters = self._task.rules.filters
        if source.is_folder:
            self._list(source)
            return not filters.choose_files or bool(self._inside[source.keyed.node])
        if filters.leave_out(source.metadata.name, lambda: source.metadata):
            self._task.actions.excluded += 1
            return False
        return True

    def _list(self, top: TreeNode) -> None:
        """List everything below a folder, before anything is created."""
        filters = self._task.rules.filters
        below = {
            folder.keyed.node: inside.nodes
            for folder, inside in walk(self._tree, top, self._failures, filters=filters)
        }
        if filters.choose_files:
            self._leave_out_empty(top, below)
        self._inside |= below

    def _leave_out_empty(self, top: TreeNode, below: dict[NodeId, list[TreeNode]]) -> None:
        """Leave out the folders in which filters leave no file."""
        for node, nodes in reversed(below.items()):  # each after the folders in it
            below[node] = [one for one in nodes if not one.is_folder or below.get(one.keyed.node)]

    # --- walking

    def _copy_all(self, place: TargetFolder, wanted: Sequence[Wanted]) -> None:
        for at in range(0, len(wanted), _NAMES_AT_ONCE):
            some = wanted[at : at + _NAMES_AT_ONCE]
            names = [name for _, name in some]
            there: dict[str, TreeNode | None] = {}
            if place.located is not None:
                there = self._tree.look(place.located, names)
            for source, name in some:
                with self._failures.noted():
                    self._copy(place, source, name, there.get(name))

    def _copy(
        self, place: TargetFolder, source: TreeNode, name: str, there: TreeNode | None
    ) -> None:
        target = place.path.child(name)
        if there is not None and there.keyed.node == source.keyed.node:
            raise UsageError(f"'{source.path}' and its copy would be the same.")
        if (place.keyed.node, name) in self._made:
            raise ExistsError(f"'{target}' was just copied from another place.")
        if there is not None and there.is_folder != source.is_folder:
            kinds = ("folder", "file") if there.is_folder else ("file", "folder")
            raise ExistsError(f"'{target}' is a {kinds[0]}; a {kinds[1]} cannot take its place.")
        if there is not None and not there.is_folder and not self._force:
            raise ExistsError(f"'{target}' exists already.", hint="Give -f to replace it.")
        self._made.add((place.keyed.node, name))
        if not source.is_folder:
            self._copy_file(_FileCopy(source, place, name, there))
            return
        here = (
            place_of(there)
            if there is not None
            else self._up.make_folder(place, name, source.metadata.mtime_ns)
        )
        inside = self._inside.get(source.keyed.node, [])
        self._copy_all(here, [(one, one.metadata.name) for one in inside])

    # --- content

    def _copy_file(self, one: _FileCopy) -> None:
        if self._task.actions.dry_run:
            self._up.send(one.place, one.name, one.before, MemorySource(one.file, b""))
            return
        if one.file.metadata.size > IN_MEMORY:
            self._copy_large(one)
            return
        self._waiting.append(one)
        self._held += one.file.metadata.size
        if self._held > _TOGETHER or len(self._waiting) >= _MOST_TOGETHER:
            self._copy_waiting()

    def _copy_waiting(self) -> None:
        """Get the small files that wait, and put their copies."""
        waiting, self._waiting, self._held = self._waiting, [], 0
        session, failed = self._task.session, self._failures.note
        plain = get_small(session, [one.file for one in waiting], self._quiet, failed)
        for one in waiting:
            if (content := plain.pop(one.file.keyed.node, None)) is not None:
                with self._failures.noted():
                    self._put(one, MemorySource(one.file, content))

    def _copy_large(self, one: _FileCopy) -> None:
        retry = self._task.session.retry
        while True:
            try:
                with self._reader.opened(one.file) as source:
                    self._put(one, source)
                return
            except Unreachable as lost:
                lost.hint = None
                if self._task.session.connection.usable:
                    raise  # the reader's connection is lost, and it has tried to reconnect
                retry.recover(lost)

    def _put(self, one: _FileCopy, source: MemorySource | PipedSource) -> None:
        dropped = dropped_of(one.file.metadata)
        self._up.send(one.place, one.name, one.before, source, dropped=dropped)
