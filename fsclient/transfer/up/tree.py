"""Upload of local folders: comparison with the remote tree, and upload of differences."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

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
    is_passing,
    time_ns_of,
)
from fsclient.transfer.local.folder_names import LocalFolder, not_both_here, same_names_error
from fsclient.transfer.local.source import Source
from fsclient.transfer.local.symlinks import LinkSource, local_facts
from fsclient.transfer.report import actions as what
from fsclient.transfer.run import TransferRun
from fsclient.transfer.segments import PlaintextSource
from fsclient.transfer.up.batch import BatchUploader, NotCommittedError
from fsclient.tree.contents import RefusedEntry, RefusedShare
from fsclient.tree.nodes import TreeNode
from fsproto.errors import ExistsError, FsError, InvalidNameError
from fsproto.keys.tree import KeyedNode
from fsproto.limits import MAX_PATH_PARTS
from fsproto.names import RemotePath, check_new_name, clean_name, for_terminal
from fsproto.values import Value

_NAMES_AT_ONCE = 500


class TargetFolder(Value, frozen=True):
    """A target folder; `located` is None if this command creates the folder."""

    keyed: KeyedNode
    path: RemotePath
    located: TreeNode | None


def place_of(folder: TreeNode) -> TargetFolder:
    """Return an existing folder as a target folder."""
    return TargetFolder(folder.keyed, folder.path, folder)


class _Leaf(Value, frozen=True):
    """A local file or link to upload."""

    place: str
    """The local path."""
    link: bool = False
    follow: bool = False
    """Whether to upload the file that a link points to."""

    def open(self) -> Source | LinkSource:
        return LinkSource(Path(self.place)) if self.link else Source(self.place, follow=self.follow)


class TreeUpload:
    """An upload of files, links and folders that skips those already present."""

    def __init__(self, task: TransferRun) -> None:
        self._tree = task.session.tree
        self._progress = task.progress
        self._failures = task.failures
        self._actions = task.actions
        self._rules = task.rules
        self._names = task.names(may_write=False)  # the local folders are only read
        self._compare = ContentComparer(task.session)
        self._extra: list[tuple[KeyedNode, TreeNode]] = []
        self._uploader = BatchUploader(task.session, task.progress, task.journals)

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
            self._uploader.close()
        if isinstance(error, NotCommittedError):
            if error.files > 1 and not can_go_on(error.error):
                error.error.hint = f"None of {error.files} files that went with it was put."
            raise error.error from None

    def finish(self) -> None:
        """Commit the uploads; if nothing failed, then remove the extra remote files."""
        self._uploader.flush()
        if self._extra and len(self._failures):
            self._failures.removed_nothing()
            return
        for parent, found in self._extra:
            self._actions.note(what.REMOVE, f"{found.path}{'/' * found.is_folder}")
            if not self._actions.dry_run:
                self._uploader.changes.remove(parent, found)
                self._uploader.flush_if_full()
        self._uploader.flush()

    # --- files

    def file(self, place: TargetFolder, path: Path, name: str, before: TreeNode | None) -> None:
        """Upload a local file that the user named; follow a link."""
        self._leaf(place, _Leaf(str(path), follow=True), name, before, name)

    def stream(
        self, place: TargetFolder, name: str, before: TreeNode | None, source: PlaintextSource
    ) -> None:
        """Upload from a source that cannot be compared, such as a pipe."""
        self._send(place, name, before, source, None)

    def _leaf(
        self, place: TargetFolder, leaf: _Leaf, name: str, before: TreeNode | None, relative: str
    ) -> None:
        self._uploader.flush_if_full()
        instead = None
        if before is not None and before.is_folder:
            local = Path(leaf.place).parent
            instead, before = self._replaceable(place, before, relative, local), None
        if before is not None and self._is_same(place, leaf, before):
            return
        source = leaf.open()
        try:
            if isinstance(source, Source) and source.is_sparse:
                self._actions.sparse(leaf.place)
            if isinstance(source, Source) and self._actions.dry_run:
                source.check_length()
            self._send(place, name, before, source, instead)
        finally:
            source.close()

    def _send(
        self,
        place: TargetFolder,
        name: str,
        before: TreeNode | None,
        source: PlaintextSource,
        instead: TreeNode | None,
    ) -> None:
        action = what.REPLACE if before or instead else what.PUT
        path = place.path.child(name)
        self._actions.note(action, path, source.facts.size)
        if not self._actions.dry_run:
            self._progress.expect(source.facts.size)
            self._uploader.put(place.keyed, name, before, source, instead, path=path)

    def _is_same(self, place: TargetFolder, leaf: _Leaf, before: TreeNode) -> bool:
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

    def folder(
        self,
        place: TargetFolder,
        path: Path,
        name: str,
        before: TreeNode | None,
        relative: str = "",
    ) -> None:
        """Upload a local folder and its contents; `relative` is its path from the top folder."""
        inside = children(path)
        if len(place.path.parts) >= MAX_PATH_PARTS:
            raise InvalidNameError(
                f"The local '{for_terminal(str(path))}' lies deeper than {MAX_PATH_PARTS} folders."
            )
        with local_errors(path):
            mtime_ns = time_ns_of(path.stat())
        if before is not None and before.is_folder:
            here = place_of(before)
            if self._rules.mirror and not same_time(mtime_ns, before.metadata.mtime_ns):
                self._describe(place.keyed, before, LocalStat(0, mtime_ns, before.metadata.mode))
        else:
            instead = None
            if before is not None:
                instead = self._replaceable(place, before, relative, path.parent)
            here = self._made(place, name, mtime_ns, instead)
        self.contents(here, path, inside, relative)

    def _made(
        self, place: TargetFolder, name: str, mtime_ns: int, instead: TreeNode | None
    ) -> TargetFolder:
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
        for clean, child, before in self._met(here, local, named, relative):
            below = _below(relative, clean)
            try:
                if child.kind == FOLDER:
                    self.folder(here, child.path, clean, before, below)
                else:
                    leaf = _Leaf(child.place, link=child.kind == LINK)
                    self._leaf(here, leaf, clean, before, below)
            except FsError as error:
                self._failures.note(error)

    def _met(
        self, here: TargetFolder, local: Path, named: dict[str, LocalEntry], relative: str
    ) -> Iterator[tuple[str, LocalEntry, TreeNode | None]]:
        """Yield each child to upload, with the remote node of the same name, if any."""
        put = [(name, child) for name, child in named.items() if child.kind != SPECIAL]
        if here.located is None:
            yield from ((name, child, None) for name, child in put)
        elif self._rules.mirror:
            contents = self._tree.children(here.located)
            # Noted first: after a failure, nothing that is there is removed.
            for refused in contents.refused:
                self._failures.note(refused.error)
            there = {one.metadata.name: one for one in contents.nodes}
            if self._rules.delete:
                self._note_extra(here, LocalFolder(local, self._names, named), there, relative)
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
            if self._is_excluded(local, _below(relative, child.name), folder=child.kind == FOLDER):
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

    def _is_excluded(self, local: Path, relative: str, *, folder: bool) -> bool:
        """Return whether an entry of the folder `local`, or of its remote one, is excluded."""
        folds = partial(self._names.folds_case, local)
        return self._rules.excludes.match(relative, folder=folder, folds=folds)

    # --- what the source does not have

    def _note_extra(
        self, here: TargetFolder, local: LocalFolder, there: dict[str, TreeNode], relative: str
    ) -> None:
        """Note the remote nodes that the local folder lacks, for their removal.

        Of nodes that a local folder takes for one file, it can have only one: that is no reason to
        remove the others.
        """
        for name, found in there.items():
            if local.has(name):
                continue
            below = _below(relative, name)
            rivals = [one for one in there if one != name and local.is_one(one, name)]
            if rivals and not self._is_excluded(local.path, below, folder=found.is_folder):
                self._failures.note(not_both_here(found.path, rivals[0], local.path))
                continue
            self._extra += self._removable(here.keyed, found, below, local.path)[0]

    def _removable(
        self, parent: KeyedNode, found: TreeNode, relative: str, local: Path
    ) -> tuple[list[tuple[KeyedNode, TreeNode]], bool]:
        """Return the nodes to remove, and whether that is everything; excluded nodes stay.

        `local` is the local folder that stands for the node's folder; it may not exist.
        """
        if self._is_excluded(local, relative, folder=found.is_folder):
            return [], False
        if not self._rules.excludes or not found.is_folder:
            return [(parent, found)], True
        contents = self._tree.children(found)
        if contents.refused:  # its name is unknown, so it may be excluded
            raise contents.refused[0].error
        parts = [
            self._removable(
                found.keyed,
                child,
                _below(relative, child.metadata.name),
                local / found.metadata.name,
            )
            for child in contents.nodes
        ]
        if all(whole for _, whole in parts):
            return [(parent, found)], True
        return [one for some, _ in parts for one in some], False

    def _replaceable(
        self, place: TargetFolder, before: TreeNode, relative: str, local: Path
    ) -> TreeNode:
        """Return `before` if a node of another kind may replace it; else raise `ExistsError`."""
        kinds = ("folder", "file") if before.is_folder else ("file", "folder")
        sentence = f"'{before.path}' is a {kinds[0]}; a {kinds[1]} cannot take its place"
        if not self._rules.delete:
            hint = "Give --delete to have it replaced." if self._rules.mirror else None
            raise ExistsError(f"{sentence}.", hint=hint)
        if not self._removable(place.keyed, before, relative, local)[1]:
            raise ExistsError(f"{sentence}: it contains excluded files.")
        return before


def checked_name(path: Path | str, name: str) -> str:
    """Return the remote name of a local file or folder."""
    try:
        return check_new_name(clean_name(name))
    except InvalidNameError as error:
        raise InvalidNameError(
            f"The local '{for_terminal(str(path))}' cannot be put under its name.",
            hint=error.sentence,
        ) from None


def _below(relative: str, name: str) -> str:
    return f"{relative}/{name}" if relative else name
