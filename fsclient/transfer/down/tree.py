"""Download of remote folders: comparison with the local tree, and download of differences.

Nothing is written through a link inside the local folder: a link in place of a folder is an error,
and a link in place of a file is itself replaced. All folders and files are created before the first
link, so a link in a tree cannot redirect another entry of the tree.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fsclient.connection.retry import WORTH_KEEPING
from fsclient.local_errors import local_errors
from fsclient.transfer.compare import ContentComparer, same_facts, same_time
from fsclient.transfer.down.files import DownloadJob
from fsclient.transfer.down.many import get_all
from fsclient.transfer.down.partial import Partial, drop_partials
from fsclient.transfer.down.targets import facts_of, in_place_of_folder, written
from fsclient.transfer.down.watched import noted, watched
from fsclient.transfer.local.delete import LocalDeletion
from fsclient.transfer.local.files import (
    FILE,
    FOLDER,
    LINK,
    LocalStat,
    children,
    inode_of,
    is_folder_there,
    kind_at,
    make_folder,
    set_facts,
    set_time,
    time_ns_of,
)
from fsclient.transfer.local.folder_names import LocalFolder, local_folder
from fsclient.transfer.local.small_files import write_new, write_whole
from fsclient.transfer.local.source import Source
from fsclient.transfer.local.symlinks import LinkSource, local_facts
from fsclient.transfer.pairs.still import StillFolders
from fsclient.transfer.relative import below
from fsclient.transfer.report import actions as what
from fsclient.transfer.run import TransferRun
from fsclient.tree.nodes import TreeNode
from fsproto.errors import ExistsError, FsError, SourceChangedError
from fsproto.names import for_terminal
from fsproto.sealed.manifest import Metadata, Mode

_MOST_JOBS = 5000
"""Files that wait for their download while folders are listed; each takes about 4 KiB."""


@dataclass
class _Here:
    """A remote folder and its local path; `relative` is its path from the top folder."""

    found: TreeNode
    path: Path
    relative: str
    above: _Here | None = None
    follow: bool = False
    """Whether the user named `path`: a link there is followed."""
    was_there: bool = False
    made: bool = False
    """Whether the local folder exists now; with filters, only once it has something to hold."""


class TreeDownload:
    """A download of files, links and folders that skips those already present."""

    def __init__(self, task: TransferRun, still: StillFolders | None = None) -> None:
        """`still` finds the folders that need not be compared; None: all are compared."""
        self._still = still
        self._session = task.session
        self._progress = task.progress
        self._failures = task.failures
        self._actions = task.actions
        self._rules = task.rules
        self._names = task.names(may_write=True)
        self._guard = task.guard
        self._movers = task.movers
        self._removal = LocalDeletion(
            task.actions, task.failures, task.rules.filters, self._names, task.guard.keep
        )
        self._compare = ContentComparer(task.session)
        self._jobs: list[DownloadJob] = []
        self._links: list[DownloadJob] = []
        self._folders: list[tuple[Path, Metadata]] = []
        self._extra: list[tuple[Path, str]] = []

    def finish(self) -> None:
        """Download missing and different files; if nothing failed, then remove extra ones."""
        self._get()
        self._jobs, self._links = self._links, []
        self._get()
        if self._extra and len(self._failures):
            self._failures.removed_nothing()
            self._extra = []
        for path, relative in self._extra:
            with self._failures.noted():
                self._removal.remove(path, relative)
        if not self._actions.dry_run:
            for path, metadata in reversed(self._folders):
                with self._failures.noted(), local_errors(path):
                    set_time(path, metadata.mtime_ns)

    def _get(self) -> None:
        """Download the files that wait."""
        jobs, self._jobs = self._jobs, []
        if jobs:
            get_all(self._session, jobs, self._progress, self._failures, self._movers)

    def add(self, found: TreeNode, path: Path, relative: str = "", *, follow: bool = False) -> None:
        """Create the local folders for a node and everything below it; download files.

        The last files are downloaded by `finish`, and so are all links.

        `relative` is the path from the top folder. `follow` is for a `path` that the user named: a
        link there is followed.
        """
        if found.is_folder:
            self._walk(_Here(found, path, relative, follow=follow))
        elif self._is_left_out(path.parent, found, found.path.name):
            self._actions.excluded += 1
        else:
            self._leaf(found, path, relative, follow=follow)

    # --- folders

    def _walk(self, top: _Here) -> None:
        todo: deque[tuple[TreeNode, _Here]] = deque()
        self._enter(top, todo)
        while todo:
            todo = self._listed_until_full(todo)
            if len(self._jobs) >= _MOST_JOBS:
                self._get()

    def _listed_until_full(
        self, todo: deque[tuple[TreeNode, _Here]]
    ) -> deque[tuple[TreeNode, _Here]]:
        """List folders until enough files wait for their download; return the folders left.

        Nothing else can be requested while an answer to a listing is still under way.
        """
        left: deque[tuple[TreeNode, _Here]] = deque()
        for here, inside in self._session.tree.listings(todo):
            with self._failures.noted():
                if isinstance(inside, FsError):
                    raise inside
                # Noted first: after a failure, nothing that is here is removed as absent there.
                for refused in inside.refused:
                    self._failures.note(refused.error)
                self._guard.check_branch(self._session.context, here.found.keyed.node)
                self._contents(here, inside.nodes, todo)
            if len(self._jobs) >= _MOST_JOBS:  # only those that were requested are still listed
                left += todo
                todo.clear()
        return left

    def _enter(self, here: _Here, todo: deque[tuple[TreeNode, _Here]]) -> None:
        """Queue a folder for listing, and create the local one unless it exists.

        Where filters choose files, the local one waits for the first of these.
        """
        if here.relative and here.found.above is None:
            self._guard.check_share(here.relative, here.found.keyed.node)
        if not self._rules.filters.choose_files or kind_at(here.path) is not None:
            self._make(here)
        folders = self._still_inside(here) if here.was_there else None
        if folders is None:
            todo.append((here.found, here))
            return
        if self._rules.mirror:
            self._note_time(here.path, here.found.metadata)
        for name, found in folders.items():
            self._enter(_Here(found, here.path / name, below(here.relative, name), here), todo)

    def _still_inside(self, here: _Here) -> dict[str, TreeNode] | None:
        """Return the folders in a folder whose files are the same on both sides; None: compare."""
        if self._still is None:
            return None
        local = {
            entry.name: entry
            for entry in children(here.path)
            if not self._rules.filters
            or not self._is_local_left_out(entry.path, below(here.relative, entry.name), entry.kind)
        }
        folders = self._still.inside(here.relative, here.found, local)
        if folders is not None:
            for name, size in self._still.sizes(here.relative):
                self._actions.note(what.SKIP, here.path / name)
                self._progress.file_spared(size)
        return folders

    def _make(self, here: _Here) -> None:
        """Create a local folder, and those above it, unless they exist."""
        if here.made:
            return
        if here.above is not None:
            self._make(here.above)
        here.was_there = self._made_or_there(here.path, here.relative, follow=here.follow)
        here.made = True
        self._folders.append((here.path, here.found.metadata))
        if not self._actions.dry_run:
            with local_errors(here.path):
                inode = inode_of(here.path.stat())
            self._guard.note_folder(here.relative, inode, here.found.keyed.node)

    def _contents(
        self, here: _Here, inside: list[TreeNode], todo: deque[tuple[TreeNode, _Here]]
    ) -> None:
        if here.was_there and self._rules.mirror:
            self._note_time(here.path, here.found.metadata)
        names = self._listed(here) if here.was_there else None
        if names is not None and self._rules.delete:
            self._note_extra(here, names, inside)
        names = names or LocalFolder(here.path, self._names)
        beginning = str(here.path / "_")[:-1]
        for child in names.in_order(inside, key=lambda one: one.path.name):
            name = child.path.name
            relative = below(here.relative, name)
            if self._is_left_out(here.path, child, relative):
                self._actions.excluded += 1
                continue
            try:
                place = beginning + names.give(child.path)
                if child.is_folder:
                    self._enter(_Here(child, Path(place), relative, here), todo)
                    continue
                self._make(here)
                if here.was_there:
                    self._leaf(child, Path(place), relative, follow=False)
                else:  # this command created the folder, so it is empty
                    job = self._job(child, place, is_new=True)
                    job = watched(job, self._guard, place, relative, None)
                    self._add(job, place, what.GET)
            except FsError as error:
                self._failures.note(error)

    def _is_left_out(self, folder: Path, found: TreeNode, relative: str) -> bool:
        folds = partial(self._names.folds_case, folder)
        facts = None if found.is_folder else lambda: found.metadata
        return self._rules.filters.leave_out(relative, facts, folds)

    def _is_local_left_out(self, path: Path, relative: str, kind: str | None) -> bool:
        folds = partial(self._names.folds_case, path.parent)
        facts = None if kind == FOLDER else partial(local_facts, path)
        return self._rules.filters.leave_out(relative, facts, folds)

    def _listed(self, here: _Here) -> LocalFolder:
        return local_folder(here.path, self._names, must_list=self._rules.delete)

    def _made_or_there(self, path: Path, relative: str, *, follow: bool) -> bool:
        """Create a local folder unless it exists; return whether it existed."""
        may_replace = self._rules.delete and not follow
        goes = may_replace and kind_at(path) in (FILE, LINK)
        if goes:
            self._guard.check_removal_here(relative, path)
        if not (goes and self._removal.remove(path, relative)) and is_folder_there(
            path, follow=follow
        ):
            return True
        self._actions.note(what.MAKE_FOLDER, f"{path}{os.sep}")
        if not self._actions.dry_run:
            make_folder(path)
            self._progress.folder_done()
        return False

    def _note_time(self, path: Path, metadata: Metadata) -> None:
        with local_errors(path):
            mtime_ns = time_ns_of(path.stat())
        if not same_time(mtime_ns, metadata.mtime_ns):
            self._actions.note(what.TOUCH, f"{path}{os.sep}")

    def _note_extra(self, here: _Here, names: LocalFolder, inside: list[TreeNode]) -> None:
        there = [child.path.name for child in inside]
        for name in names.surplus(there):
            relative = below(here.relative, name)
            with self._failures.noted():
                self._check_removal(here.path / name, relative)
                self._extra.append((here.path / name, relative))
        # An upload puts neither of two files with one name, so they may be nowhere else.
        for some in names.doubled():
            path, relative = here.path / some[0], below(here.relative, some[0])
            if not self._is_local_left_out(path, relative, kind_at(path)):
                self._failures.note(names.same_names(some))

    # --- files

    def _leaf(self, found: TreeNode, path: Path, relative: str, *, follow: bool) -> None:
        """Add a file to the downloads, unless the local file is the same."""
        metadata = found.metadata
        follow = follow and metadata.mode is not Mode.SYMLINK
        kind = kind_at(path, follow=follow)
        if kind == FOLDER:
            self._check_replaceable(path, relative)
            remove = partial(self._removal.remove, path, relative)
            job = DownloadJob(found, partial(in_place_of_folder, path, metadata, remove))
            self._add(noted(job, self._guard, path, relative), path, what.REPLACE)
            return
        there = local_facts(path, follow=follow) if kind else None
        if there is None or not self._is_same(found, path, there, relative, follow=follow):
            if there is not None:
                self._guard.check_here(relative, path, there, found)
            job = self._job(found, path, follow=follow)
            job = watched(job, self._guard, path, relative, there)
            self._add(job, path, what.GET if there is None else what.REPLACE)

    def _job(
        self, found: TreeNode, place: Path | str, *, follow: bool = False, is_new: bool = False
    ) -> DownloadJob:
        """Return the job for one file; only a large file can be resumed.

        `is_new` says that this command has just created its folder. `place` may be text: for many
        small files, creating `Path` objects costs time.
        """
        metadata, retry = found.metadata, self._session.retry
        content = found.manifest.body.content
        target = partial(written, place, metadata, follow=follow)
        if metadata.mode is Mode.SYMLINK or content is None:
            return DownloadJob(found, target)
        if metadata.size < WORTH_KEEPING:
            facts = facts_of(metadata)
            if is_new:
                return DownloadJob(
                    found, target, at_once=partial(write_new, str(place), facts=facts)
                )
            at_once = partial(write_whole, Path(place), facts=facts, follow=follow)
            return DownloadJob(found, target, at_once=at_once)
        path = Path(place)
        if not retry.resumes:
            if not self._actions.dry_run:
                drop_partials(path, follow=follow)
            return DownloadJob(found, target)
        kept = Partial(path, facts_of(metadata), content.root, retry, follow=follow)
        return DownloadJob(found, lambda: kept, kept)

    def _add(self, job: DownloadJob, path: Path | str, action: str) -> None:
        self._actions.note(action, path, job.file.metadata.size)
        if not self._actions.dry_run:
            is_link = job.file.metadata.mode is Mode.SYMLINK
            (self._links if is_link else self._jobs).append(job)

    def _check_replaceable(self, path: Path, relative: str) -> None:
        """Raise `ExistsError` unless a file may replace this folder."""
        sentence = (
            f"The local '{for_terminal(str(path))}' is a folder; a file cannot take its place"
        )
        if not self._rules.delete:
            hint = "Give --delete to have it replaced." if self._rules.mirror else None
            raise ExistsError(f"{sentence}.", hint=hint)
        if not self._removal.goes_whole(path, relative):
            raise ExistsError(f"{sentence}: it contains excluded files or special files.")
        self._check_removal(path, relative)

    def _check_removal(self, path: Path, relative: str) -> None:
        """Raise `ConflictError` unless a local entry may be removed with all that it contains."""
        left = [(path, relative)] if self._guard.checks_removals else []
        while left:
            here, relative = left.pop()
            if kind_at(here) == FOLDER:
                left += [(child.path, below(relative, child.name)) for child in children(here)]
            else:
                self._guard.check_removal_here(relative, here)

    def _is_same(
        self, found: TreeNode, path: Path, there: LocalStat, relative: str, *, follow: bool
    ) -> bool:
        """Return whether the local file has the same content; set its time and mode if needed."""
        metadata, rules = found.metadata, self._rules
        if not (rules.update or rules.mirror or self._went_before(path)):
            return False
        same = same_facts(there, metadata)
        if not same or rules.checksum:
            if not rules.mirror or not self._compare.may_be_same(there, metadata):
                return False
            if not self._has_content(found, path, follow=follow):
                return False
        self._actions.note(what.SKIP if same else what.TOUCH, path)
        if not same and not self._actions.dry_run:
            set_facts(path, facts_of(metadata))
        self._guard.note_here(relative, path, found)
        return True

    def _went_before(self, path: Path) -> bool:
        """Return whether the command that this one resumes may have downloaded this file."""
        since_ns = self._rules.since_ns
        with local_errors(path):
            return since_ns is not None and path.lstat().st_ctime_ns >= since_ns

    def _has_content(self, found: TreeNode, path: Path, *, follow: bool) -> bool:
        is_link = found.metadata.mode is Mode.SYMLINK
        source = LinkSource(path) if is_link else Source(path, follow=follow)
        try:
            return self._compare.same_content(found, source)
        except SourceChangedError:
            return False
        finally:
            source.close()
