"""A two-way sync: lists both sides, plans, and does what the plan says.

The order makes an interruption harmless: conflict copies get their names first, then files and
folders are copied, and only then, if nothing failed, is anything removed. The next run lists both
sides again and plans the rest.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from fsclient.transfer.compare import ContentComparer
from fsclient.transfer.get import place_for as local_place_for
from fsclient.transfer.local.files import FOLDER, kind_at, make_folder
from fsclient.transfer.pairs.branch import descend, heads_of
from fsclient.transfer.pairs.still import StillFolders
from fsclient.transfer.put import place_for
from fsclient.transfer.run import TransferRun
from fsclient.transfer.twoway.guard import TwoWayGuard
from fsclient.transfer.twoway.limits import MaxDelete, removals
from fsclient.transfer.twoway.plan import Plan, Resolve, plan, to_compare
from fsclient.transfer.twoway.relocate import Relocation
from fsclient.transfer.twoway.show import show
from fsclient.transfer.twoway.sides import Sides
from fsclient.transfer.twoway.steps import Steps, stopping
from fsclient.tree.nodes import TreeNode, check_signed, must_be_folder
from fsclient.ui import Ui
from fskit.text import count_text
from fsproto.errors import ExistsError, FsError, NotFoundError
from fsproto.names import RemotePath, for_terminal

if TYPE_CHECKING:
    from fsclient.transfer.sync import SyncPair

_ROUNDS = 8


class TwoWaySync:
    """One `sync --two-way` command."""

    def __init__(
        self,
        task: TransferRun,
        guard: TwoWayGuard,
        ui: Ui,
        *,
        resolve: Resolve = Resolve.BOTH,
        most: MaxDelete | None = None,
    ) -> None:
        self._task = task
        self._guard = guard
        self._ui = ui
        self._failures = task.failures
        self._tree = task.session.tree
        self._resolve = resolve
        self._most = most or MaxDelete()
        self._compare = ContentComparer(task.session)
        now = time.strftime("%Y-%m-%d %H.%M")
        self._mark = f"conflict {now} {task.session.identity.user}"
        self._told: set[str] = set()
        self._stay: set[str] = set()
        """What cannot be moved here, by its path: it is copied and removed."""
        self._replaced = 0, 0
        """The local and the remote files that moves have replaced."""
        self.conflicts: list[dict[str, str | None]] = []
        """The decided conflicts: `path`, and `copy` or None."""

    def run(self, way: SyncPair) -> str:
        """Synchronise; return a phrase that names both folders."""
        local, remote = Path(way.local), way.remote
        top = self._tops(local, remote)
        for _ in range(_ROUNDS):
            if not self._round(local, remote, top):
                break
            top = self._tree.find(remote)  # it may have a new key
        return f"between {for_terminal(way.local.rstrip('/') or '/')}/ and {remote}/"

    def _tops(self, local: Path, remote: RemotePath) -> TreeNode | None:
        """Return the remote folder; create one of both if this is their first sync.

        None in a dry run that would create it.
        """
        kind, last = kind_at(local, follow=True), self._guard.before
        shown = for_terminal(str(local))
        if kind not in (FOLDER, None):
            raise ExistsError(f"The local '{shown}' is not a folder.")
        found = must_be_folder(self._tree.reach(remote)[-1])
        is_there = len(found.path.parts) == len(remote.parts)
        check_signed(found, "--two-way")
        count = count_text(len(last.files), "file")
        if kind is None and (last.files or not is_there):
            left = f"; the last sync left {count} there" if last.files else ""
            raise NotFoundError(
                f"There is no local folder '{shown}'{left}.",
                hint="Is a disk not mounted? Nothing was changed." if left else None,
            )
        if not is_there and last.files:
            raise NotFoundError(
                f"There is no '{remote}'; the last sync left {count} there.",
                hint="Nothing was changed. To put all again: fsclient sync LOCAL REMOTE.",
            )
        if kind is None and not self._task.actions.dry_run:
            local_place_for(self._task, local.parent)
            make_folder(local)
        if is_there:
            return found
        place_for(self._task, remote)
        return None if self._task.actions.dry_run else self._tree.find(remote)

    def _round(self, local: Path, remote: RemotePath, top: TreeNode | None) -> bool:
        """List, plan and do; return whether another round must follow."""
        self._task.actions.excluded = 0
        sides = Sides(self._task, local, remote, self._told)
        if kind_at(local, follow=True) is not None:  # else a dry run would create it
            sides.list_local()
        last = self._guard.state
        still = StillFolders(self._tree, last, "both")
        if top is not None:
            sides.list_remote(top, still, last)
            self._check_heads(sides, top)
        if sides.sure and self._moves(sides):
            return True
        found = self._plan(sides)
        if sides.sure:
            lost = removals(found, sides.local, sides.remote, self._replaced)
            lost.check_sides(for_terminal(str(local)), str(remote))
        if self._task.actions.dry_run:
            show(found, sides, remote, self._task.actions)
            if sides.sure and lost.are_beyond(self._most):
                self._ui.warn(f"{lost.sentence()}, more than --max-delete allows.")
            self._note_conflicts(found)
            return False
        if sides.sure:
            lost.confirm(self._most, self._ui)
        failed = stopping(self._failures)
        steps = Steps(self._task, self._guard, sides)
        self._note_conflicts(found)
        steps.do(found)
        if stopping(self._failures) > failed or not sides.sure:
            return False
        followed = self._tree.followed
        if not found.again and followed is not None:
            self._guard.note_folders(sides.inodes, sides.nodes)
            heads = heads_of(self._tree.context.memory, steps.folders())
            self._guard.complete(heads, still, followed)
        return found.again

    def _moves(self, sides: Sides) -> bool:
        """Move on each side what was moved on the other; return whether new lists are needed."""
        moves = Relocation(self._task, self._guard, sides, self._compare, self._stay)
        found = moves.find(self._guard.state)
        replaced = [
            sum(move.replaces and move.here == here for move in found) for here in (True, False)
        ]
        totals = [len(side) for side in (sides.local, sides.remote)]
        if any(map(self._most.is_exceeded, replaced, totals)):  # then removals are to be confirmed
            found, replaced = moves.find(self._guard.state, may_replace=False), [0, 0]
        self._replaced = self._replaced[0] + replaced[0], self._replaced[1] + replaced[1]
        if found:
            moves.do(found)
        return bool(found) and not self._task.actions.dry_run

    def _plan(self, sides: Sides) -> Plan:
        last = self._guard.state
        equal = [
            path
            for path in to_compare(sides.local, sides.remote, last)
            if path not in sides.left_alone and self._has_same_content(sides, path)
        ]
        return plan(
            sides.local,
            sides.remote,
            last,
            equal=equal,
            left_alone=sides.left_alone,
            resolve=self._resolve,
            mark=self._mark,
        )

    def _has_same_content(self, sides: Sides, path: str) -> bool:
        """Return whether both files have the same content; leave an unreadable one alone."""
        facts = sides.local[path]
        try:
            return facts is not None and self._compare.has_same_content(
                sides.nodes[path], sides.place(path), facts
            )
        except FsError as error:
            self._failures.note(error)
            sides.left_alone.add(path)
            sides.sure = False
            return False

    def _note_conflicts(self, found: Plan) -> None:
        for step in found.steps:
            if not step.conflict:
                continue
            self.conflicts.append({"path": step.path, "copy": step.to or None})
            if step.to:
                self._ui.say(
                    f"conflict: {step.path} changed on both sides; "
                    f"one version is now {step.to.rpartition('/')[2]}"
                )

    # --- versions of the remote folders

    def _check_heads(self, sides: Sides, top: TreeNode) -> None:
        """Forget the common state if a remote folder does not descend from it, or is another one.

        A server that was restored from a backup lacks files, and no user has removed them.
        """
        heads = self._guard.state.heads
        folders = [node.keyed.node for node in sides.nodes.values() if node.is_folder]
        is_other = bool(heads) and top.keyed.node not in heads
        if is_other or not descend(self._tree.context, heads, folders):
            self._ui.warn(
                "The remote folder is older than at the last sync, or it is another one: nothing "
                "is removed, and of files that differ both versions are kept."
            )
            self._guard.start_over()
