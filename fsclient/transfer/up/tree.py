"""Upload of local folders: comparison with the remote tree, and upload of differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    SPECIAL,
    LocalEntry,
    LocalStat,
    children,
    inode_of,
    is_passing,
    time_ns_of,
)
from fsclient.transfer.local.folder_names import LocalFolder, same_names_error
from fsclient.transfer.local.source import Source
from fsclient.transfer.local.symlinks import local_facts
from fsclient.transfer.pairs.still import StillFolders
from fsclient.transfer.relative import below
from fsclient.transfer.report import actions as what
from fsclient.transfer.run import TransferRun
from fsclient.transfer.segments import PlaintextSource
from fsclient.transfer.up.batch import BatchUploader, FileTarget, NotCommittedError
from fsclient.transfer.up.chosen import ChosenFolders
from fsclient.transfer.up.removal import RemoteRemoval
from fsclient.transfer.up.target import Leaf, TargetFolder, checked_name, place_of
from fsclient.tree.changes import Turn
from fsclient.tree.contents import RefusedEntry, RefusedShare
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

_NAMES_AT_ONCE = 500


class TreeUpload:
    """An upload of files, links and folders that skips those already present."""

    def __init__(self, task: TransferRun, still: StillFolders | None = None) -> None:
        """`still` finds the folders that need not be compared; None: all are compared."""
        self._still = still
        self._tree = task.session.tree
        self._progress = task.progress
        self._failures = task.failures
        self._actions = task.actions
        self._rules = task.rules
        self._guard = task.guard
        self._names = task.names(may_write=False)  # the local folders are only read
        self._compare = ContentComparer(task.session)
        self._removal = RemoteRemoval(task, self._names)
        self._chosen = ChosenFolders(task.rules.filters, self._names)
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
        self._actions.note(what.REMOVE, f"{found.path}{'/' * found.is_folder}")
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
        self._actions.note(what.MOVE, f"{found.path} to {target.path.child(name)}")
        if not self._actions.dry_run:
            renew = takes_new_key_alone(self._tree, found, source, target.keyed)
            changes = self._uploader.changes
            changes.move(found, source, target.keyed, name, replaced, renew=renew)
            self._uploader.flush_if_full()

    def move_round(self, ring: list[tuple[TreeNode, KeyedNode, TargetFolder, str]]) -> None:
        """Move files to each other's names, in one change."""
        for found, _, target, name in ring:
            self._actions.note(what.MOVE, f"{found.path} to {target.path.child(name)}")
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
        self._actions.note(what.MAKE_FOLDER, f"{path}/")
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
        named = self._named(local, inside, relative)
        all_names = [child.name for child in inside]
        folders = self._still_inside(here, named, relative)
        met = self._met(here, local, named, all_names, relative) if folders is None else folders
        for clean, child, before in met:
            place = below(relative, clean)
            try:
                if child.kind == FOLDER:
                    self.folder(here, child.path, clean, before, place)
                else:
                    leaf = Leaf(child.place, link=child.kind == LINK)
                    self._leaf(here, leaf, clean, before, place)
            except FsError as error:
                self._failures.note(error)

    def _still_inside(
        self, here: TargetFolder, named: dict[str, LocalEntry], relative: str
    ) -> list[tuple[str, LocalEntry, TreeNode | None]] | None:
        """Return the folders in a folder whose files are the same on both sides; None: compare."""
        if self._still is None or here.located is None:
            return None
        local = {name: child for name, child in named.items() if child.kind != SPECIAL}
        folders = self._still.inside(relative, here.located, local)
        if folders is None:
            return None
        beginning = str(here.path.child("_"))[:-1]
        for name, size in self._still.sizes(relative):
            self._actions.note(what.SKIP, f"{beginning}{name}")
            self._progress.file_spared(size)
        return [(name, local[name], found) for name, found in folders.items()]

    def _met(
        self,
        here: TargetFolder,
        local: Path,
        named: dict[str, LocalEntry],
        all_names: list[str],
        relative: str,
    ) -> Iterator[tuple[str, LocalEntry, TreeNode | None]]:
        """Yield each child to upload, with the remote node of the same name, if any.

        `all_names` has the entries that filters leave out, too: they are there.
        """
        put = [(name, child) for name, child in named.items() if child.kind != SPECIAL]
        if here.located is None:
            yield from ((name, child, None) for name, child in put)
        elif self._rules.mirror:
            contents = self._tree.children(here.located)
            # Noted first: after a failure, no existing node is removed.
            for refused in contents.refused:
                self._failures.note(refused.error)
            there = {one.metadata.name: one for one in contents.nodes}
            if self._rules.delete:
                folder = LocalFolder(local, self._names, all_names)
                self._removal.note_extra(here.keyed, folder, there, relative)
            yield from (
                (name, child, there.get(name))
                for name, child in put
                if contents.refused_as(name) is None
            )
        else:
            for at in range(0, len(put), _NAMES_AT_ONCE):
                some = put[at : at + _NAMES_AT_ONCE]
                met = self._tree.look_each(here.located, [name for name, _ in some])
                for name, child in some:
                    before = met[name]
                    if isinstance(before, RefusedEntry | RefusedShare):
                        self._failures.note(before.error)
                    else:
                        yield name, child, before

    def _named(self, local: Path, inside: list[LocalEntry], relative: str) -> dict[str, LocalEntry]:
        """Return the entries that are not excluded, by their remote names.

        Entries with the same remote name are a failure; none of them is put.
        """
        named: dict[str, list[LocalEntry]] = {}
        for child in inside:
            facts = None if child.kind == FOLDER else partial(local_facts, child.place)
            if self._removal.is_left_out(local, below(relative, child.name), facts):
                self._actions.excluded += 1
            elif is_passing(child.name):
                self._failures.skip(child.place, "partial file of an unfinished download")
            else:
                with self._failures.noted():
                    named.setdefault(checked_name(child.place, child.name), []).append(child)
        for some in named.values():
            if len(some) > 1:
                self._failures.note(same_names_error([child.place for child in some]))
            elif some[0].kind == SPECIAL:
                self._failures.skip(some[0].place, SPECIAL)
        return {name: some[0] for name, some in named.items() if len(some) == 1}
