"""Immediate re-keying of a folder, names included, without waiting for the next changes.

The entries of each folder move to its newest key in commits of up to 200 entries. Then the folder
records that no name in it is under an older key. After an interruption, the rest is still due, so
the same command resumes there.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from fsclient.tree.commit import Committer
from fsclient.tree.nodes import TreeNode
from fsclient.tree.tree import Tree

_AT_ONCE = 200
"""Entries in one commit."""


def renew_everything(tree: Tree, top: TreeNode, tell: Callable[[int], None]) -> int:
    """Give new keys to all nodes below a folder that are due; return their number.

    `tell` is called after each commit with the number so far.
    """
    done = 0
    folders = [top]
    while folders:
        folder = folders.pop()
        children = tree.children(folder)
        due = [one for one in children if _is_due(folder, one)]
        for at in range(0, len(due), _AT_ONCE):
            changes = Committer(tree)
            for one in due[at : at + _AT_ONCE]:
                changes.renew(one)
            changes.commit()
            done += len(due[at : at + _AT_ONCE])
            tell(done)
        if folder.keyed.names_since < folder.keyed.generation and folder.above is not None:
            _settle(tree, folder)
        children = tree.children(folder) if due else children
        folders += [one for one in children if one.is_folder]
    return done


def _is_due(folder: TreeNode, child: TreeNode) -> bool:
    return child.is_due or child.manifest.body.token != folder.keyed.token(child.metadata.name)


def _settle(tree: Tree, folder: TreeNode) -> None:
    """Record in a folder that all names in it are under its newest key."""
    above = folder.above
    if above is None:
        return
    now = tree.look(above, [folder.metadata.name])[folder.metadata.name]
    if now is None or now.keyed.node != folder.keyed.node:
        return  # moved or removed concurrently
    settled = replace(now, keyed=replace(now.keyed, names_since=now.keyed.generation))
    changes = Committer(tree)
    changes.describe(above.keyed, settled, settled.metadata)
    changes.commit()
