"""Upload of local folders: comparison with the remote tree, and upload of differences."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from msgspec.structs import replace

from fsclient.connection.retry import can_go_on
from fsclient.local_errors import local_errors
from fsclient.transfer.compare import ContentComparer, same_facts, same_mode, same_time
from fsclient.transfer.local.files import (
    FOLDER,
    LINK,
    LocalEntry,
    LocalStat,
    children,
    inode_of,
    time_ns_of,
)
from fsclient.transfer.local.source import Source
from fsclient.transfer.local.symlinks import local_facts
from fsclient.transfer.pairs.still import StillFolders
from fsclient.transfer.relative import below
from fsclient.transfer.report import actions as what
from fsclient.transfer.run import TransferRun
from fsclient.transfer.segments import PlaintextSource
from fsclient.transfer.up.batch import BatchUploader, FileTarget, NotCommittedError
from fsclient.transfer.up.children import FolderChildren
from fsclient.transfer.up.chosen import ChosenFolders
from fsclient.transfer.up.removal import RemoteRemoval
from fsclient.transfer.up.target import Leaf, TargetFolder, place_of
from fsclient.tree.changes import Turn
from fsclient.tree.moved_keys import takes_new_key_alone
from fsclient.tree.nodes import TreeNode
from fsproto.errors import FsError, InvalidNameError
from fsproto.keys.tree import KeyedNode
from fsproto.limits import MAX_PATH_PARTS
from fsproto.names import for_terminal
from fsproto.sealed.manifest import Dropped
from fsproto.types import NodeId, Root

if TYPE_CHECKING:
    from fsclient.transfer.up.parallel import ParallelUploads


class TreeUpload:
    """An upload of files, links and folders that skips those already present."""

    def __init__(self, task: TransferRun, still: StillFolders | None = None) -> None:
        """`still` finds the folders that need not be compared; None: all are compared."""
        self._tree = task.session.tree
        self._progress = task.progress
        self._failures = task.failures
        self._actions = task.actions
        self._rules = task.rules
        self._guard = task.guard
        names = task.names(may_write=False)  # the local folders are only read
        self._compare = ContentComparer(task.session)
        self._removal = RemoteRemoval(task, names)
        self._chosen = ChosenFolders(task.rules.filters, names)
        self._children = FolderChildren(task, self._removal, names, still)
        self._uploader = BatchUploader(task.session, task.progress, task.journals)
        self._parallel: ParallelUploads | None = None
        if task.movers:
            from fsclient.transfer.up.parallel import ParallelUploads

            self._parallel = ParallelUploads(self._uploader, task.movers, task)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Close the uploader; raise the cause of a failed commit in its place."""
        try:
            if error is not None:
                self._uploader.flush_after(error)
        finally:
            if self._parallel:
                self._parallel.close()
            self._uploader.close()
        if isinstance(error, NotCommittedError):
            if error.files > 1 and not can_go_on(error.error):
                lost = f"None of {error.files} files that went with it was put."
                error.error.hint = " ".join(filter(None, (lost, error.error.hint)))
            raise error.error from None

    def finish(self) -> None:
        """Commit the uploads; if nothing failed, then remove the extra remote files."""
        self.flush()
        extra = self._removal.extra
        if extra and len(self._failures):
            self._failures.removed_nothing()
            return
        for parent, found in extra:
            self.remove(parent, found)
        self._uploader.flush()

    def flush(self) -> None:
        """Commit what was given so far."""
        if self._parallel:
            self._parallel.finish()
        self._uploader.flush()

    def remove(self, parent: KeyedNode, found: TreeNode) -> None:
        """Remove a remote node with everything in it; it is gone after the next `flush`."""
        self._actions.note(what.REMOVE, f"{found.path}{'/' * found.is_folder}", side=what.REMOTE)
        if not self._actions.dry_run:
            self._uploader.changes.remove(parent, found)
            self._uploader.flush_if_full()

    def move(
        self,
        found: TreeNode,
        source: KeyedNode,
        target: TargetFolder,
        name: str,
        replaced: TreeNode | None = None,
    ) -> None:
        """Move a remote node from one folder to another; it is there after the next `flush`."""
        self._note_move(found, target.path.child(name))
        if not self._actions.dry_run:
            renew = takes_new_key_alone(self._tree, found, source, target.keyed)
            changes = self._uploader.changes
            changes.move(found, source, target.keyed, name, replaced, renew=renew)
            self._uploader.flush_if_full()

    def _note_move(self, found: TreeNode, target: object) -> None:
        self._actions.note(what.MOVE, f"{found.path} to {target}", side=what.REMOTE)

    def move_round(self, ring: list[tuple[TreeNode, KeyedNode, TargetFolder, str]]) -> None:
        """Move files to each other's names, in one change."""
        for found, _, target, name in ring:
            self._note_move(found, target.path.child(name))
        if not self._actions.dry_run:
            turns = [
                Turn(
                    found,
                    source,
                    target.keyed,
                    name,
                    takes_new_key_alone(self._tree, found, source, target.keyed),
                )
                for found, source, target, name in ring
            ]
            self._uploader.changes.move_round(turns)
            self._uploader.flush_if_full()

    # --- files

    def file(self, place: TargetFolder, path: Path, name: str, before: TreeNode | None) -> None:
        """Upload a local file that the user named; follow a link."""
        facts = partial(local_facts, path, follow=True)
        if self._removal.is_left_out(path.parent, path.name, facts):
            self._actions.excluded += 1
            return
        self._leaf(place, Leaf(str(path), follow=True), name, before, name)

    def entry(
        self, place: TargetFolder, path: Path, before: TreeNode | None, relative: str, *, link: bool
    ) -> None:
        """Upload a local file, or a link as a link; `relative` is its path from the top folder."""
        name = relative.rpartition("/")[2]
        self._leaf(place, Leaf(str(path), link=link), name, before, relative)

    def _leaf(
        self,
        place: TargetFolder,
        leaf: Leaf,
        name: str,
        before: TreeNode | None,
        relative: str,
    ) -> None:
        self._uploader.flush_if_full()
        if self._parallel:
            self._parallel.take_done()
        instead = None
        if before is not None and before.is_folder:
            local = Path(leaf.place).parent
            instead = self._removal.replaceable(place.keyed, before, relative, local)
            before = None
        if before is not None and self._is_same(place, leaf, before, relative):
            return
        source, taken = leaf.open(), False
        try:
            if isinstance(source, Source) and source.is_sparse:
                self._actions.sparse(leaf.place)
            if isinstance(source, Source) and self._actions.dry_run:
                source.check_length()
            if before is not None:
                self._guard.check_there(relative, before, source.facts)
            committed = partial(self._guard.note, relative, source.facts)
            taken = self.send(place, name, before, source, instead, committed=committed)
        finally:
            if not taken:
                source.close()

    def send(
        self,
        place: TargetFolder,
        name: str,
        before: TreeNode | None,
        source: PlaintextSource,
        instead: TreeNode | None = None,
        *,
        committed: Callable[[Root, NodeId], None] | None = None,
        dropped: Dropped | None = None,
    ) -> bool:
        """Upload from a source without comparing it, such as a pipe.

        `dropped` is the origin of content from the drop box. Return whether the source is closed
        later, when all of it was sent: so it is with a large local file if there are movers.
        """
        action = what.REPLACE if before or instead else what.PUT
        path = place.path.child(name)
        self._actions.note(action, path, source.facts.size)
        if self._actions.dry_run:
            return False
        self._progress.expect(source.facts.size)
        target = FileTarget(place.keyed, name, before, instead, dropped, committed)
        if self._parallel and self._parallel.start(target, path, source):
            return True
        self._uploader.put_at(target, source, path)
        return False

    def _is_same(self, place: TargetFolder, leaf: Leaf, before: TreeNode, relative: str) -> bool:
        """Return whether the remote file has the same content; set its time and mode if needed."""
        if not (self._rules.update or self._rules.mirror or self._went_before(before)):
            return False
        facts = local_facts(Path(leaf.place), follow=leaf.follow)
        if facts is None:
            return False
        same = same_facts(facts, before.metadata)
        if not same or self._rules.checksum:
            if not self._rules.mirror or not self._compare.may_be_same(facts, before.metadata):
                return False
            source = leaf.open()
            try:
                if not self._compare.same_content(before, source):
                    return False
                facts = source.facts
            finally:
                source.close()
        if same_facts(facts, before.metadata):
            self._actions.note(what.SKIP, before.path)
            self._progress.file_spared(facts.size)
        else:
            self._describe(place.keyed, before, facts)
        if before.manifest.body.content is not None:
            root = before.manifest.body.content.root
            self._guard.note(relative, facts, root, before.keyed.node)
        return True

    def _went_before(self, before: TreeNode) -> bool:
        """Return whether the command that this one resumes may have uploaded this file."""
        since_ns = self._rules.since_ns
        return since_ns is not None and before.manifest.body.time_ms >= since_ns // 1_000_000

    def _describe(self, parent: KeyedNode, found: TreeNode, facts: LocalStat) -> None:
        was = found.metadata
        mode = was.mode if same_mode(was.mode, facts.mode) else facts.mode
        self._actions.note(what.TOUCH, f"{found.path}{'/' * found.is_folder}")
        if not self._actions.dry_run:
            metadata = replace(was, mtime_ns=facts.mtime_ns, mode=mode)
            self._uploader.changes.describe(parent, found, metadata)
            self._uploader.flush_if_full()

    # --- folders

    def top(self, root: TreeNode, path: Path) -> None:
        """Upload the contents of a local folder into the root of a tree, which always exists."""
        with local_errors(path):
            self._guard.note_folder("", inode_of(path.stat()), root.keyed.node)
        self.contents(place_of(root), path, children(path))

    def folder(
        self,
        place: TargetFolder,
        path: Path,
        name: str,
        before: TreeNode | None,
        relative: str = "",
    ) -> None:
        """Upload a local folder and its contents; `relative` is its path from the top folder.

        A folder that does not exist there is left out if filters leave out all files in it.
        """
        if before is None and relative and not self._chosen.has_files(path, relative):
            return
        inside = children(path)
        if len(place.path.parts) >= MAX_PATH_PARTS:
            raise InvalidNameError(
                f"The local '{for_terminal(str(path))}' lies deeper than {MAX_PATH_PARTS} folders."
            )
        with local_errors(path):
            stat = path.stat()
        mtime_ns = time_ns_of(stat)
        if before is not None and before.is_folder:
            here = place_of(before)
            if self._rules.mirror and not same_time(mtime_ns, before.metadata.mtime_ns):
                self._describe(place.keyed, before, LocalStat(0, mtime_ns, before.metadata.mode))
        else:
            instead = None
            if before is not None:
                instead = self._removal.replaceable(place.keyed, before, relative, path.parent)
            here = self.make_folder(place, name, mtime_ns, instead)
        note = partial(self._guard.note_folder, relative, inode_of(stat), here.keyed.node)
        if here.located is None:
            self._uploader.when_committed(note)
        else:
            note()
        self.contents(here, path, inside, relative)

    def make_folder(
        self, place: TargetFolder, name: str, mtime_ns: int, instead: TreeNode | None = None
    ) -> TargetFolder:
        """Create a remote folder; it replaces a file only if this is the one given as `instead`."""
        path = place.path.child(name)
        self._actions.note(what.MAKE_FOLDER, f"{path}/", side=what.REMOTE)
        if self._actions.dry_run:  # the folder does not exist, so there is nothing to look up
            return TargetFolder(place.keyed, path, None)
        made = self._uploader.changes.make_folder(place.keyed, name, mtime_ns, instead)
        self._progress.folder_done()
        self._uploader.flush_if_full()
        return TargetFolder(made, path, None)

    def contents(
        self, here: TargetFolder, local: Path, inside: list[LocalEntry], relative: str = ""
    ) -> None:
        """Upload the contents of the folder `local` into a remote one."""
        for clean, child, before in self._children.to_upload(here, local, inside, relative):
            place = below(relative, clean)
            try:
                if child.kind == FOLDER:
                    self.folder(here, child.path, clean, before, place)
                else:
                    leaf = Leaf(child.place, link=child.kind == LINK)
                    self._leaf(here, leaf, clean, before, place)
            except FsError as error:
                self._failures.note(error)
