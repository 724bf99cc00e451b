"""Download of remote folders: comparison with the local tree, and download of differences.

Nothing is written through a link inside the local folder: a link in place of a folder is an error,
and a link in place of a file is itself replaced. All folders are created before the first file or
link, so a link in a tree cannot redirect another entry of the tree.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fsclient.connection.retry import WORTH_KEEPING
from fsclient.local_errors import local_errors
from fsclient.session.session import Session
from fsclient.transfer.compare import ContentComparer, same_facts, same_time
from fsclient.transfer.down.files import Downloader, DownloadJob
from fsclient.transfer.down.partial import Partial, drop_partials
from fsclient.transfer.down.write_behind import Writable
from fsclient.transfer.local.delete import LocalDeletion
from fsclient.transfer.local.files import (
    FILE,
    FOLDER,
    LINK,
    LocalStat,
    OutputFile,
    give_name,
    is_folder_there,
    kind_at,
    make_folder,
    passing_name,
    set_facts,
    set_time,
    time_ns_of,
    written_whole,
)
from fsclient.transfer.local.folder_names import LocalFolder, local_folder
from fsclient.transfer.local.small_files import write_new, write_whole
from fsclient.transfer.local.source import Source
from fsclient.transfer.local.symlinks import LinkSource, link_made, local_facts
from fsclient.transfer.report import actions as what
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.run import TransferRun
from fsclient.tree.nodes import TreeNode
from fsproto.errors import ExistsError, FsError, SourceChangedError
from fsproto.names import for_terminal
from fsproto.sealed.manifest import Metadata, Mode


@dataclass
class _Here:
    """A remote folder and its local path; `relative` is its path from the top folder."""

    found: TreeNode
    path: Path
    relative: str
    follow: bool = False
    """Whether the user named `path`: a link there is followed."""
    was_there: bool = False


class TreeDownload:
    """A download of files, links and folders that skips those already present."""

    def __init__(self, task: TransferRun) -> None:
        self._session = task.session
        self._progress = task.progress
        self._failures = task.failures
        self._actions = task.actions
        self._rules = task.rules
        self._names = task.names(may_write=True)
        self._removal = LocalDeletion(task.actions, task.failures, task.rules.excludes, self._names)
        self._compare = ContentComparer(task.session)
        self._jobs: list[DownloadJob] = []
        self._folders: list[tuple[Path, Metadata]] = []
        self._extra: list[tuple[Path, str]] = []

    def finish(self) -> None:
        """Download missing and different files; if nothing failed, then remove extra ones."""
        get_all(self._session, self._jobs, self._progress, self._failures)
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

    def add(self, found: TreeNode, path: Path, relative: str = "", *, follow: bool = False) -> None:
        """Create the local folders for a node and everything below it; list files to download.

        `relative` is the path from the top folder. `follow` is for a `path` that the user named: a
        link there is followed.
        """
        if found.is_folder:
            self._walk(_Here(found, path, relative, follow=follow))
        else:
            self._leaf(found, path, relative, follow=follow)

    # --- folders

    def _walk(self, top: _Here) -> None:
        todo: deque[tuple[TreeNode, _Here]] = deque()
        self._enter(top, todo)
        for here, inside in self._session.tree.listings(todo):
            with self._failures.noted():
                if isinstance(inside, FsError):
                    raise inside
                # Noted first: after a failure, nothing that is here is removed as absent there.
                for refused in inside.refused:
                    self._failures.note(refused.error)
                self._contents(here, inside.nodes, todo)

    def _enter(self, here: _Here, todo: deque[tuple[TreeNode, _Here]]) -> None:
        """Create a local folder unless it exists, and queue it for listing."""
        here.was_there = self._made_or_there(here.path, here.relative, follow=here.follow)
        self._folders.append((here.path, here.found.metadata))
        todo.append((here.found, here))

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
            below = f"{here.relative}/{name}" if here.relative else name
            if self._is_excluded(here, below, folder=child.is_folder):
                self._actions.excluded += 1
                continue
            try:
                place = beginning + names.give(child.path)
                if child.is_folder:
                    self._enter(_Here(child, Path(place), below), todo)
                elif here.was_there:
                    self._leaf(child, Path(place), below, follow=False)
                else:  # this command created the folder, so it is empty
                    self._add(self._job(child, place, is_new=True), place, what.GET)
            except FsError as error:
                self._failures.note(error)

    def _is_excluded(self, here: _Here, below: str, *, folder: bool) -> bool:
        folds = partial(self._names.folds_case, here.path)
        return self._rules.excludes.match(below, folder=folder, folds=folds)

    def _listed(self, here: _Here) -> LocalFolder:
        return local_folder(here.path, self._names, must_list=self._rules.delete)

    def _made_or_there(self, path: Path, relative: str, *, follow: bool) -> bool:
        """Create a local folder unless it exists; return whether it existed."""
        may_replace = self._rules.delete and not follow
        goes = may_replace and kind_at(path) in (FILE, LINK)
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
            below = f"{here.relative}/{name}" if here.relative else name
            self._extra.append((here.path / name, below))
        # An upload puts neither of two files with one name, so they may be nowhere else.
        for some in names.doubled():
            kind = kind_at(here.path / some[0])
            below = f"{here.relative}/{some[0]}" if here.relative else some[0]
            if not self._is_excluded(here, below, folder=kind == FOLDER):
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
            job = DownloadJob(found, partial(_in_place_of_folder, path, metadata, remove))
            self._add(job, path, what.REPLACE)
            return
        there = local_facts(path, follow=follow) if kind else None
        if there is None or not self._is_same(found, path, there, follow=follow):
            job = self._job(found, path, follow=follow)
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
        target = partial(_written, place, metadata, follow=follow)
        if metadata.mode is Mode.SYMLINK or content is None:
            return DownloadJob(found, target)
        if metadata.size < WORTH_KEEPING:
            facts = _facts(metadata)
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
        kept = Partial(path, _facts(metadata), content.root, retry, follow=follow)
        return DownloadJob(found, lambda: kept, kept)

    def _add(self, job: DownloadJob, path: Path | str, action: str) -> None:
        self._actions.note(action, path, job.file.metadata.size)
        if not self._actions.dry_run:
            self._jobs.append(job)

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

    def _is_same(self, found: TreeNode, path: Path, there: LocalStat, *, follow: bool) -> bool:
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
            set_facts(path, _facts(metadata))
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


def get_all(
    session: Session, jobs: list[DownloadJob], progress: Progress, failures: Failures
) -> None:
    """Download files; record errors of single files in `failures`."""
    for job in jobs:
        progress.expect(job.file.metadata.size)
    downloader = Downloader(session, progress)
    try:
        downloader.get_all(jobs, failures.note)
    finally:
        downloader.close()


@contextmanager
def _written(place: Path | str, metadata: Metadata, *, follow: bool = False) -> Iterator[Writable]:
    """Yield a target for a file or link; the file exists only if the block succeeds."""
    path = Path(place)
    if metadata.mode is Mode.SYMLINK:
        with link_made(path, metadata.mtime_ns) as link:
            yield link
        return
    with written_whole(path, _facts(metadata), follow=follow) as file:
        yield OutputFile(file, path)


@contextmanager
def _in_place_of_folder(
    path: Path, metadata: Metadata, remove: partial[bool]
) -> Iterator[Writable]:
    """As `_written`, but replace a folder; it is removed after the file is verified."""
    beside = path.with_name(passing_name())
    try:
        with _written(beside, metadata) as target:
            yield target
        remove()
        with local_errors(path):
            give_name(beside, path)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _facts(metadata: Metadata) -> LocalStat:
    return LocalStat(metadata.size, metadata.mtime_ns, metadata.mode)
