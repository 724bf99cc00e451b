"""Immediate re-keying of a folder, names included, without waiting for the next changes.

The entries of each folder move to its newest key in commits of up to 200 entries. Then the folder
records that no name in it is under an older key. After an interruption, the rest is still due, so
the same command resumes there. What cannot be renewed is left with everything in it, and the rest
is renewed all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from fsclient.sharing.left_behind import LeftBehind
from fsclient.tree.commit import Committer
from fsclient.tree.nodes import TreeNode
from fsclient.tree.tree import Tree
from fsproto.errors import ConflictError, FsError, RollbackError, Unreachable
from fsproto.names import RemotePath
from fsproto.types import NodeId

_AT_ONCE = 200
"""Entries in one commit."""
_ROUNDS = 8
"""How often a folder is listed again because it has taken another key in the meantime."""


class Rekey:
    """The re-keying of every due node below one folder."""

    def __init__(self, tree: Tree, tell: Callable[[int], None]) -> None:
        """`tell` is called after each commit with the number of new keys so far."""
        self._tree = tree
        self._tell = tell
        self.done = 0
        """New keys so far."""
        self.left: list[LeftBehind] = []
        """Nodes that could not be renewed, with everything in them."""

    def run(self, top: TreeNode) -> None:
        """Give new keys to all nodes below a folder that are due."""
        if top.is_due_on_path:  # else a commit in it renews it, and all in it is due again
            with self._noted(top.path):
                self._commit([top])
                top = self._tree.find(top.path)
        folders = [top]
        while folders:
            folder = folders.pop()
            with self._noted(folder.path):
                folders += self._renewed(folder)

    def _renewed(self, folder: TreeNode) -> list[TreeNode]:
        """Renew what is due in one folder; return the folders in it that are not left."""
        contents, failed = self._tree.children(folder), set[NodeId]()
        for refused in contents.refused:
            self.left.append(LeftBehind(None, refused.error))
        for _ in range(_ROUNDS):
            due = [
                one
                for one in contents.nodes
                if _is_due(folder, one) and one.keyed.node not in failed
            ]
            if not due:
                break
            for at in range(0, len(due), _AT_ONCE):
                failed |= self._renew(due[at : at + _AT_ONCE])
            now = self._tree.find(folder.path)
            if now.keyed.node != folder.keyed.node:
                raise _moved(folder)
            # If the folder was due itself, or another person renews it, it has a new key now. Then
            # more of its entries are due.
            folder, contents = now, self._tree.children(now)
        else:
            raise ConflictError(f"'{folder.path}' is given new keys by another command, too.")
        whole = not failed and not contents.refused
        if whole and folder.keyed.names_since < folder.keyed.generation:
            with self._noted(folder.path):
                _settle(self._tree, folder)
        return [one for one in contents.nodes if one.is_folder and one.keyed.node not in failed]

    def _renew(self, some: list[TreeNode]) -> set[NodeId]:
        """Renew some entries of a folder, together or else one by one; return those that failed."""
        try:
            self._commit(some)
        except (Unreachable, RollbackError):
            raise
        except FsError:
            failed = set[NodeId]()
            for one in some:
                before = len(self.left)
                with self._noted(one.path):
                    self._commit([one])
                if len(self.left) > before:
                    failed.add(one.keyed.node)
            return failed
        return set()

    def _commit(self, some: list[TreeNode]) -> None:
        changes = Committer(self._tree)
        for one in some:
            changes.renew(one)
        changes.commit()
        self.done += len(some)
        self._tell(self.done)

    @contextmanager
    def _noted(self, path: RemotePath) -> Iterator[None]:
        try:
            yield
        except (Unreachable, RollbackError):
            raise
        except FsError as error:
            if not self._tree.context.connection.usable:
                raise
            self.left.append(LeftBehind(path, error))


def _is_due(folder: TreeNode, child: TreeNode) -> bool:
    return child.is_due or child.manifest.body.token != folder.keyed.token(child.metadata.name)


def _moved(folder: TreeNode) -> ConflictError:
    return ConflictError(
        f"'{folder.path}' was moved or removed by another command.",
        hint="Give the same command again.",
    )


def _settle(tree: Tree, folder: TreeNode) -> None:
    """Record in a folder that all names in it are under the key with which it was listed."""
    above = folder.above
    if above is None:
        return
    now = tree.look(above, [folder.metadata.name])[folder.metadata.name]
    if now is None or now.keyed.node != folder.keyed.node:
        return  # moved or removed concurrently
    if now.keyed.generation != folder.keyed.generation:
        return  # renewed concurrently: names may be under the key from before
    settled = replace(now, keyed=replace(now.keyed, names_since=now.keyed.generation))
    changes = Committer(tree)
    changes.describe(above.keyed, settled, settled.metadata)
    changes.commit()
