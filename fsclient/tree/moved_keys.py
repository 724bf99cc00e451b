"""New keys of moved nodes: for those who get access to the former folder later.

The newest key of a folder opens its earlier keys, and the manifests that the folder once had hold
links that these keys open. So a person with whom the former folder is shared later could open the
moved node's key, if the server gives them its old manifest. The key of a node that moves to another
folder therefore ends there, even if everybody keeps access now.
"""

from __future__ import annotations

from fsclient.tree.nodes import TreeNode
from fsclient.tree.tree import Tree
from fsproto.keys.tree import KeyedNode
from fsproto.limits import MAX_GENERATION_BY_WRITERS

_LAST = MAX_GENERATION_BY_WRITERS // 2
"""From this generation on, only a loss of access gives a moved node a new key."""


def takes_new_key(tree: Tree, found: TreeNode, source: KeyedNode, target: KeyedNode) -> bool:
    """Return whether a node takes a new key when it moves, although everybody keeps access.

    In another person's tree, only files without a member list do: the owner must sign the lists
    that a new key needs.
    """
    if source.node == target.node or found.keyed.generation >= _LAST:
        return False
    return found.path.owner is None or not (found.is_folder or tree.context.list_of(found))


def takes_new_key_alone(tree: Tree, found: TreeNode, source: KeyedNode, target: KeyedNode) -> bool:
    """Return whether a node takes a new key when it moves and no member list is signed with it."""
    if not takes_new_key(tree, found, source, target):
        return False
    return found.path.owner is not None or not has_shares(tree, found)


def has_shares(tree: Tree, found: TreeNode) -> bool:
    """Return whether a node of the user's own is shared, or one below it, as far as is known."""
    if tree.context.list_of(found) is not None:
        return True
    parts = found.path.parts
    return any(way[: len(parts)] == parts for way in tree.context.memory.shared().values())
