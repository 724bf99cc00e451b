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
from fsclient.transfer.twoway.plan import copy_name, without
from fsclient.transfer.twoway.sides import Sides
from fsclient.transfer.up.target import TargetFolder, place_of
from fsclient.transfer.up.tree import TreeUpload
from fsproto.errors import ConflictError, FsError
from fsproto.names import for_terminal
from fsproto.types import NodeId

Way = tuple[str, Path, Path]
"""An entry by its path from the top folder, with its old and new local path."""


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

    def find(self, last: PairState, *, may_replace: bool = True) -> list[Move]:
        """Return the moves, which are those of lists that are complete.

        `may_replace`: whether a file may be moved over another one.
        """
        sides, left = self._sides, self._sides.left_alone
        nodes = {path: file.node for path, file in last.files.items() if path in sides.remote}
        nodes |= {path: node.keyed.node for path, node in sides.nodes.items()}
        here, there = without(sides.local, left), without(sides.remote, left)
        listed = Listed(here, there, sides.inodes, nodes)
        checks = Checks(self._has_same, self._has_same_members)
        return find_moves(listed, last, checks, self._stay, may_replace=may_replace)

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
                    self._guard.moved(move)

    def _is_done_here(self, move: Move, done: list[Move]) -> bool:
        """Do a move of a local entry and add it to `done`; return whether that was possible."""
        try:
            if self._do_here(move):
                done.append(move)
                return True
        except FsError as error:
            self._task.failures.note(error)
        self._stay.update(old for old, _, _ in move.all)
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
            replaced = self._sides.nodes[move.new] if move.replaces else None
            ring = [
                (self._nodes[node], self._target(old)[0].keyed, *self._target(new))
                for old, new, node in move.all
            ]
            if move.ring:
                up.move_round(ring)
            else:
                up.move(*ring[0], replaced)
            if replaced is not None:
                self._sides.replaced(move.new, here=False)
            for old, new in move.changes:
                self._sides.moved_there(old, new)
                self._made = moved(self._made, old, new)
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
        ways = [(old, self._sides.place(old), self._sides.place(new)) for old, new, _ in move.all]
        if self._actions.dry_run:
            self._note(ways)
        elif not self._rename(move, ways):
            return False
        if move.replaces:
            self._sides.replaced(move.new, here=True)
        for old, new in move.changes:
            self._sides.moved_here(old, new)
        return True

    def _note(self, ways: list[Way]) -> None:
        for _, source, target in ways:
            self._actions.note(what.MOVE, f"{source} to {target}", side=what.LOCAL)

    def _make_here(self, folder: str) -> None:
        path = self._sides.place(folder)
        self._actions.note(what.MAKE_FOLDER, f"{path}{os.sep}", side=what.LOCAL)
        if not self._actions.dry_run:
            make_folder(path)
            self._task.progress.folder_done()

    def _rename(self, move: Move, ways: list[Way]) -> bool:
        """Rename local entries; return whether their file system does that."""
        self._guard.listed = self._sides.local
        for relative, source, _ in ways:
            if self._sides.local[relative] is not None:
                self._guard.check_as_listed(relative, source)
        _, first, target = ways[0]
        if move.replaces:
            self._guard.check_as_listed(move.new, target)
        with local_errors(target):
            if not move.ring and not move.replaces and os.path.lexists(target):
                raise ConflictError(
                    f"The local '{for_terminal(str(target))}' was created during the sync."
                )
            try:
                if move.ring:
                    _rename_round([(source, target) for _, source, target in ways])
                else:
                    first.replace(target)
            except OSError as error:
                if error.errno == errno.EXDEV:
                    return False
                raise
        self._note(ways)
        return True


def _rename_round(ring: list[tuple[Path, Path]]) -> None:
    """Rename files to each other's names, or none of them; the first goes to a name between."""
    (first, target), *others = ring
    between = _free_name(first)
    done: list[tuple[Path, Path]] = []
    try:
        for old, new in [(first, between), *others, (between, target)]:
            old.rename(new)
            done.append((old, new))
    except OSError:
        for old, new in reversed(done):
            new.rename(old)
        raise


def _free_name(path: Path) -> Path:
    """Return a name that no file has; one that an interrupted sync leaves is visible."""
    number = 1
    while os.path.lexists(found := path.with_name(copy_name(path.name, "moving", number))):
        number += 1
    return found
