"""The steps of a two-way sync, done: renames, then copies, then removals."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from fsclient.local_errors import local_errors
from fsclient.transfer.down.tree import TreeDownload
from fsclient.transfer.local.files import (
    children,
    inode_of,
    make_folder,
    set_time,
    time_ns_of,
)
from fsclient.transfer.relative import parent_of
from fsclient.transfer.report import actions as what
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.run import TransferRun
from fsclient.transfer.twoway.guard import TwoWayGuard
from fsclient.transfer.twoway.plan import Do, Plan, Step
from fsclient.transfer.twoway.sides import Sides
from fsclient.transfer.up.target import TargetFolder, place_of
from fsclient.transfer.up.tree import TreeUpload
from fsclient.tree.commit import Committer
from fsclient.tree.nodes import TreeNode
from fsproto.errors import ConflictError, FsError, InvalidNameError
from fsproto.names import for_terminal
from fsproto.sealed.manifest import Mode
from fsproto.types import Hash, NodeId


def stopping(failures: Failures) -> int:
    """Return the number of failures after which nothing is removed: all but those of names.

    A name that the local file system refuses fails in every run; its file is left alone.
    """
    return sum(one["error"] != InvalidNameError.code for one in failures.data)


class Steps:
    """One round of steps; the failure of one file leaves the others to be done."""

    def __init__(self, task: TransferRun, guard: TwoWayGuard, sides: Sides) -> None:
        self._task = task
        self._tree = task.session.tree
        self._failures = task.failures
        self._actions = task.actions
        self._guard = guard
        self._sides = sides
        guard.listed = sides.local
        self._places = {
            path: place_of(node) for path, node in sides.nodes.items() if node.is_folder
        }
        self._failed: set[str] = set()
        """Entries whose step failed: nothing more is done with them, or below them."""
        self._times: list[tuple[Path, int]] = []
        """The folders that were created here, and the times to give them."""

    def folders(self) -> list[NodeId]:
        """Return the remote folders of both sides, with those that were created."""
        return [place.keyed.node for place in self._places.values()]

    def do(self, found: Plan) -> None:
        """Do everything; remove nothing if something has failed."""
        failed = stopping(self._failures)
        self._each(found.all(Do.RENAME_HERE), self._rename_here)
        self._each(found.all(Do.RENAME_THERE), self._rename_there)
        self._each(found.all(Do.MAKE_HERE), self._make_here)
        with TreeUpload(self._task) as up:
            self._send(found, up)
        self._get(found)
        self._note(found)
        goes = found.all(Do.REMOVE_HERE) + found.all(Do.REMOVE_THERE)
        if goes and (stopping(self._failures) > failed or not self._sides.sure):
            self._failures.removed_nothing()
        elif goes:
            with TreeUpload(self._task) as up:
                self._remove_there(found.all(Do.REMOVE_THERE), up)
            self._each(found.all(Do.REMOVE_HERE), self._remove_here)
        for path, mtime_ns in reversed(self._times):
            with self._failures.noted(), local_errors(path):
                set_time(path, mtime_ns)

    def _each(self, steps: list[Step], do: Callable[[Step], None]) -> None:
        for step in steps:
            if self._has_failed(step.path):
                continue
            try:
                do(step)
            except FsError as error:
                self._failures.note(error)
                self._failed |= {step.path, step.to} - {""}

    def _has_failed(self, path: str) -> bool:
        while path and path not in self._failed:
            path = parent_of(path)
        return bool(path)

    # --- renames and folders

    def _rename_here(self, step: Step) -> None:
        path = self._sides.place(step.path)
        target = path.with_name(step.to.rpartition("/")[2])
        self._guard.check_as_listed(step.path, path)
        with local_errors(target):
            if os.path.lexists(target):
                raise ConflictError(
                    f"The local '{for_terminal(str(target))}' was created during the sync."
                )
            path.rename(target)
        self._actions.note(what.RENAME, f"{path} to {target.name}")
        self._sides.renamed(step.path, step.to, target)
        self._guard.forget(step.path)

    def _rename_there(self, step: Step) -> None:
        node, folder = self._sides.nodes[step.path], self._places[parent_of(step.path)].keyed
        name = step.to.rpartition("/")[2]
        changes = Committer(self._tree)
        changes.move(node, folder, folder, name, None)
        changes.commit()
        self._actions.note(what.RENAME, f"{node.path} to {name}")
        self._guard.forget(step.path)

    def _make_here(self, step: Step) -> None:
        path, node = self._sides.place(step.path), self._sides.nodes[step.path]
        make_folder(path)
        self._actions.note(what.MAKE_FOLDER, f"{path}{os.sep}")
        self._task.progress.folder_done()
        self._times.append((path, node.metadata.mtime_ns))
        self._note_folder(step.path, node.keyed.node)

    def _note_folder(self, relative: str, node: NodeId) -> None:
        path = self._sides.place(relative)
        with local_errors(path):
            self._guard.note_folder(relative, inode_of(path.stat()), node)

    # --- copies

    def _send(self, found: Plan, up: TreeUpload) -> None:
        made = found.all(Do.MAKE_THERE)
        self._each(made, lambda step: self._make_there(step, up))
        self._each(found.all(Do.PUT), lambda step: self._put(step.path, up))
        up.flush()
        for step in made:
            if not self._has_failed(step.path):
                self._note_folder(step.path, self._places[step.path].keyed.node)

    def _make_there(self, step: Step, up: TreeUpload) -> None:
        path = self._sides.place(step.path)
        with local_errors(path):
            mtime_ns = time_ns_of(path.stat())
        parent, name = self._parent(step.path)
        self._places[step.path] = up.make_folder(parent, name, mtime_ns)

    def _put(self, relative: str, up: TreeUpload) -> None:
        facts = self._sides.local[relative]
        link = facts is not None and facts.mode is Mode.SYMLINK
        before = self._sides.nodes.get(relative)
        parent, _ = self._parent(relative)
        up.entry(parent, self._sides.place(relative), before, relative, link=link)

    def _parent(self, relative: str) -> tuple[TargetFolder, str]:
        return self._places[parent_of(relative)], relative.rpartition("/")[2]

    def _get(self, found: Plan) -> None:
        down = TreeDownload(self._task)

        def get(step: Step) -> None:
            path, node = self._sides.place(step.path), self._sides.nodes[step.path]
            down.add(node, path, step.path)

        self._each(found.all(Do.GET), get)
        down.finish()

    def _note(self, found: Plan) -> None:
        for step in found.all(Do.NOTE):
            facts, node = self._sides.local[step.path], self._sides.nodes[step.path]
            if facts is None:
                self._note_folder(step.path, node.keyed.node)
            else:
                self._guard.note_both(step.path, facts, node)
        for step in found.all(Do.FORGET):
            self._guard.forget(step.path)

    # --- removals

    def _remove_there(self, steps: list[Step], up: TreeUpload) -> None:
        """Remove remote files and folders; a folder goes whole, if nothing new is in it."""
        nodes = {step.path: self._sides.nodes[step.path] for step in steps}
        goes = {path: node for path, node in nodes.items() if not node.is_folder}
        known = {node.manifest.hash for node in goes.values()}
        for path, node in nodes.items():  # a folder comes after those in it
            if node.is_folder and self._has_only(node, known):
                known.add(node.manifest.hash)
                goes[path] = node
        for path, node in goes.items():
            if parent_of(path) not in goes:
                up.remove(self._parent(path)[0].keyed, node)
        up.flush()
        for path in goes:
            self._guard.forget(path)

    def _has_only(self, folder: TreeNode, known: set[Hash]) -> bool:
        """Return whether a folder has nothing but known entries; another user may have added one.

        An entry that was added stays, and the next sync copies it.
        """
        contents = self._tree.children(folder)
        return not contents.refused and all(one.manifest.hash in known for one in contents.nodes)

    def _remove_here(self, step: Step) -> None:
        path = self._sides.place(step.path)
        if self._sides.local[step.path] is not None:
            self._guard.check_as_listed(step.path, path)
            self._actions.note(what.REMOVE, str(path))
            with local_errors(path):
                path.unlink(missing_ok=True)
        elif children(path):  # something new: the next sync copies it
            return
        else:
            self._actions.note(what.REMOVE, f"{path}{os.sep}")
            with local_errors(path):
                path.rmdir()
        self._guard.forget(step.path)
