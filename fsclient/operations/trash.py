"""Files and folders that were removed, over all folders: chosen, and deleted for good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from fsclient.operations.walk import walk
from fsclient.operations.wildcards import folder_of, has_wildcards, matcher
from fsclient.session.session import Session
from fsclient.transfer.report.failures import Failures
from fsclient.tree.contents import SHOWN_DIGITS
from fsclient.tree.nodes import TreeNode
from fsclient.tree.removed import RefusedRemoval, RemovedLookup, RemovedNode, reached
from fsproto.errors import FsError, NotAllowedError, NotFoundError, UsageError
from fsproto.limits import MAX_FORGOTTEN
from fsproto.messages.base import Done
from fsproto.messages.history import Forget, Forgotten
from fsproto.names import RemotePath
from fsproto.values import Value


class TrashChoice(Value, frozen=True):
    """Which removed files and folders a command is about; without paths and ids: all."""

    paths: tuple[RemotePath, ...] = ()
    """Folders, for everything removed from there or below; removed names; or patterns of these."""
    ids: tuple[str, ...] = ()
    """The starts of ids."""
    before_s: float | None = None
    """Only what was removed before this time, in seconds since the epoch."""


class RemoteTrash:
    """What was removed from the folders of a tree, and is kept by the server."""

    def __init__(self, session: Session, failures: Failures) -> None:
        """Failures to list a folder are noted in `failures`."""
        self._tree = session.tree
        self._failures = failures
        self._lookup = RemovedLookup(session.tree)
        self.tops: list[TreeNode] = []
        """The folders that were asked about, without those below them."""

    def find(self, choice: TrashChoice) -> tuple[list[RemovedNode], list[RefusedRemoval]]:
        """Return what is chosen, the latest removal first, and what does not verify.

        Raises `NotFoundError` for a path or an id that nothing of this fits.
        """
        paths = choice.paths or (RemotePath(None, ()),)
        found = {one.node: one for path in paths for one in self._at(path)}
        refused = {one.node: one for one in self._lookup.refused}
        if choice.ids:
            picked = [self._picked([*found.values(), *refused.values()], id_) for id_ in choice.ids]
            found = {one.node: one for one in picked if isinstance(one, RemovedNode)}
            refused = {one.node: one for one in picked if isinstance(one, RefusedRemoval)}
        if choice.before_s is not None:
            before_ms = choice.before_s * 1000
            found = {n: one for n, one in found.items() if one.state.body.time_ms < before_ms}
            refused = {n: one for n, one in refused.items() if one.state.body.time_ms < before_ms}
        latest = sorted(found.values(), key=lambda one: -one.state.body.time_ms)
        return latest, list(refused.values())

    def _at(self, path: RemotePath) -> list[RemovedNode]:
        if has_wildcards(path):
            fits = matcher(path)
            gone = [one for one in self._below(folder_of(self._tree, path)) if fits(one.found.path)]
            if not gone:
                raise NotFoundError(f"Nothing that was removed and is kept matches '{path}'.")
            return gone
        folder, there = reached(self._tree, path)
        if there is not None and there.is_folder:
            return self._below(there)
        self.tops.append(folder)
        return self._lookup.named(folder, path)

    def _below(self, top: TreeNode) -> list[RemovedNode]:
        self.tops.append(top)
        folders = (folder for folder, _ in walk(self._tree, top, self._failures))
        gone = list[RemovedNode]()
        for some in self._lookup.of_each(folders):
            if isinstance(some, FsError):
                self._failures.note(some)
            else:
                gone += some
        return gone

    def _picked(
        self, gone: Iterable[RemovedNode | RefusedRemoval], id_: str
    ) -> RemovedNode | RefusedRemoval:
        if len(id_) < SHOWN_DIGITS:
            raise UsageError(f"An id has at least {SHOWN_DIGITS} digits, as 'trash list' shows it.")
        found = [one for one in gone if one.node.hex().startswith(id_.lower())]
        if len(found) > 1:
            ids = ", ".join(one.node.hex() for one in found)
            raise UsageError(f"Several removed files or folders have an id that starts so: {ids}.")
        if not found:
            raise NotFoundError(f"Nothing that was removed and is kept has the id {id_}.")
        return found[0]

    def check_own(self) -> None:
        """Raise `NotAllowedError` unless everything that was found is in the user's own tree."""
        for top in self.tops:
            if top.path.owner is not None:
                raise NotAllowedError(
                    f"'{top.path}' belongs to {top.path.owner}; only the owner of a tree can "
                    "delete for good what was removed from it."
                )


def forget(session: Session, gone: Sequence[RemovedNode | RefusedRemoval]) -> None:
    """Have the server delete removed nodes for good; nodes that were restored since then stay."""
    for start in range(0, len(gone), MAX_FORGOTTEN):
        some = gone[start : start + MAX_FORGOTTEN]
        ask = Forget([Forgotten(one.node, one.version) for one in some])
        session.retry.run(partial(_send, session, ask))


def _send(session: Session, ask: Forget) -> None:
    connection = session.connection
    connection.answer(connection.send(ask), Done, slow=True)
