"""The folders that are due for a new key, and their new keys.

A folder is due when its parent folder has taken a new key since the folder's link was sealed. It
takes its own new key with the next change of it or in it, from the top down. So new content is
sealed only to the present readers, and a large folder need not be re-keyed at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fsproto.keys.tree import KeyedNode
from fsproto.types import NodeId

if TYPE_CHECKING:
    from fsclient.tree.nodes import TreeNode


class PendingKeys:
    """The due folders that one session has found, and the new keys that it has given."""

    def __init__(self) -> None:
        self._due: dict[NodeId, TreeNode] = {}
        self._renewed: dict[NodeId, KeyedNode] = {}

    def observe(self, folder: TreeNode) -> None:
        """Record whether a folder, as the server shows it now, is due."""
        node = folder.keyed.node
        mine = self._renewed.get(node)
        if mine is not None and folder.keyed.generation >= mine.generation:
            del self._renewed[node]  # the server has a key that is at least as new
        if folder.is_due:
            self._due[node] = folder
        else:
            self._due.pop(node, None)

    def pending(self, node: NodeId) -> TreeNode | None:
        """Return the folder if it is due and has not taken its new key; None otherwise."""
        return None if node in self._renewed else self._due.get(node)

    def renew(self, keyed: KeyedNode) -> KeyedNode:
        """Draw the next key of a folder; return the same key in each further call."""
        found = self._renewed.get(keyed.node)
        if found is None or found.generation <= keyed.generation:
            found = self._renewed[keyed.node] = keyed.renewed(os.urandom)
        return found

    def forget(self, nodes: Iterable[NodeId]) -> None:
        """Forget drawn keys: the change that contained them was not made."""
        for node in nodes:
            self._renewed.pop(node, None)

    def current(self, keyed: KeyedNode) -> KeyedNode:
        """Return the folder with its newest key: the present one, or the drawn one."""
        mine = self._renewed.get(keyed.node)
        return mine if mine is not None and mine.generation > keyed.generation else keyed
