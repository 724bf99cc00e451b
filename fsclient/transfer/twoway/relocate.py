"""The moves of a two-way sync, done: what one side has moved is moved on the other one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from fsclient.local_errors import local_errors
from fsclient.transfer.compare import ContentComparer
from fsclient.transfer.local.files import make_folder, time_ns_of
from fsclient.transfer.pairs.state import PairState
from fsclient.transfer.report import actions as what
from fsclient.transfer.run import TransferRun
from fsclient.transfer.twoway.guard import TwoWayGuard
from fsclient.transfer.twoway.moves import Checks, Listed, Move, find_moves, moved
from fsclient.transfer.twoway.plan import without
from fsclient.transfer.twoway.sides import Sides
from fsclient.transfer.up.target import TargetFolder, place_of
from fsclient.transfer.up.tree import TreeUpload
from fsproto.errors import ConflictError, FsError
from fsproto.names import for_terminal
from fsproto.types import NodeId


class Relocation:
    """Finds the moves of one round, and does them."""

    def __init__(
        self,
        task: TransferRun,
        guard: TwoWayGuard,
        sides: Sides,
        compare: ContentComparer,
        stay: set[str],
    ) -> None:
        """`stay`: what cannot be moved here, by its path; new ones are added."""
        self._task = task
        self._actions = task.actions
        self._guard = guard
        self._sides = sides
        self._compare = compare
        self._stay = stay
        self._made: dict[str, TargetFolder] = {}
        """The remote folders that were created for moves."""
        self._nodes = {node.keyed.node: node for node in sides.nodes.values()}

    def find(self, last: PairState) -> list[Move]:
        """Return the moves, which are those of lists that are complete."""
        sides, left = self._sides, self._sides.left_alone
        nodes = {path: file.node for path, file in last.files.items() if path in sides.remote}
        nodes |= {path: node.keyed.node for path, node in sides.nodes.items()}
        here, there = without(sides.local, left), without(sides.remote, left)
        listed = Listed(here, there, sides.inodes, nodes)
        return find_moves(listed, last, Checks(self._has_same, self._has_same_members), self._stay)

    def do(self, moves: list[Move]) -> None:
        """Do all moves up to the first that fails; in a dry run, only note them."""
        there = [move for move in moves if not move.here]
        with TreeUpload(self._task) as up:
            self._do_there(there, up)
        done = list(there)
        try:
            for move in moves:
                if move.here and not self._is_done_here(move, done):
                    break  # later moves may rely on this one
        finally:
            for move in moves:  # each path is one after the moves before it
                if move in done:
                    self._guard.moved(move.old, move.new)

    def _is_done_here(self, move: Move, done: list[Move]) -> bool:
        """Do a move of a local entry and add it to `done`; return whether that was possible."""
        try:
            if self._do_here(move):
                done.append(move)
                return True
        except FsError as error:
            self._task.failures.note(error)
        self._stay.add(move.old)
        return False

    # --- what is a move

    def _has_same(self, node: NodeId, relative: str) -> bool:
        """Return whether a local file has the content of a remote one; not if that is unknown."""
        facts = self._sides.local[relative]
        try:
            return facts is not None and self._compare.has_same_content(
                self._nodes[node], self._sides.place(relative), facts
            )
        except FsError:  # the copy, which is done in place of the move, reports it
            return False

    def _has_same_members(self, source: NodeId, target: NodeId) -> bool:
        """Return whether the same lists say who sees two folders; else keys would change."""
        authors = self._task.session.tree.context.authors
        return authors.audience(source).lists == authors.audience(target).lists

    # --- doing

    def _do_there(self, moves: list[Move], up: TreeUpload) -> None:
        """Move remote entries; they share commits."""
        for move in moves:
            for folder in move.folders:
                path = self._sides.place(folder)
                with local_errors(path):
                    mtime_ns = time_ns_of(path.stat())
                parent, name = self._target(folder)
                self._made[folder] = up.make_folder(parent, name, mtime_ns)
            target, name = self._target(move.new)
            source = self._target(move.old)[0].keyed
            up.move(self._nodes[move.node], source, target, name)
            self._sides.moved_there(move.old, move.new)
            self._made = moved(self._made, move.old, move.new)
        up.flush()

    def _target(self, relative: str) -> tuple[TargetFolder, str]:
        """Return the remote folder of an entry, and its name there."""
        folder, _, name = relative.rpartition("/")
        found = self._made.get(folder)
        return found or place_of(self._sides.nodes[folder]), name

    def _do_here(self, move: Move) -> bool:
        """Move a local entry; return False if its file system cannot do that."""
        for folder in move.folders:
            self._make_here(folder)
        source, target = self._sides.place(move.old), self._sides.place(move.new)
        if self._task.actions.dry_run:
            self._actions.note(what.MOVE, f"{source} to {target}")
        elif not self._rename(move.old, source, target):
            return False
        self._sides.moved_here(move.old, move.new)
        return True

    def _make_here(self, folder: str) -> None:
        path = self._sides.place(folder)
        self._actions.note(what.MAKE_FOLDER, f"{path}{os.sep}")
        if not self._actions.dry_run:
            make_folder(path)
            self._task.progress.folder_done()

    def _rename(self, relative: str, source: Path, target: Path) -> bool:
        """Rename a local entry; return whether its file system does that."""
        if self._sides.local[relative] is not None:
            self._guard.listed = self._sides.local
            self._guard.check_as_listed(relative, source)
        with local_errors(target):
            if os.path.lexists(target):
                raise ConflictError(
                    f"The local '{for_terminal(str(target))}' was created during the sync."
                )
            try:
                source.rename(target)
            except OSError as error:
                if error.errno == errno.EXDEV:
                    return False
                raise
        self._actions.note(what.MOVE, f"{source} to {target}")
        return True
