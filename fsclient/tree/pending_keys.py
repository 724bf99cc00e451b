"""Which folders are due for a new key, and the keys that they take.

A folder is due when the folder it lies in has taken a new key since its link was sealed. It takes
its own with the next change of it or in it, top down, so that what is written from then on is
sealed to those who may read it now, and nobody has to touch all of a large folder at once.
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
    """What one session knows of it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._due: dict[NodeId, TreeNode] = {}
        self._renewed: dict[NodeId, KeyedNode] = {}

    def observe(self, folder: TreeNode) -> None:
        """Note a folder that was found, if it is due."""
        node = folder.keyed.node
        mine = self._renewed.get(node)
        if mine is not None and folder.keyed.generation >= mine.generation:
            del self._renewed[node]  # what was found is as new
        if folder.is_due:
            self._due[node] = folder
        else:
            self._due.pop(node, None)

    def pending(self, node: NodeId) -> TreeNode | None:
        """Return a folder as it was found if it is due and has not taken its new key."""
        return None if node in self._renewed else self._due.get(node)

    def renew(self, keyed: KeyedNode) -> KeyedNode:
        """Draw the next key of a folder; the same one however often it is asked for."""
        found = self._renewed.get(keyed.node)
        if found is None or found.generation <= keyed.generation:
            found = self._renewed[keyed.node] = keyed.renewed(os.urandom)
        return found

    def forget(self, nodes: Iterable[NodeId]) -> None:
        """Forget keys that were drawn for nothing: the change that had them was not made."""
        for node in nodes:
            self._renewed.pop(node, None)

    def current(self, keyed: KeyedNode) -> KeyedNode:
        """Return a folder with the key that it has taken, or is about to take."""
        mine = self._renewed.get(keyed.node)
        return mine if mine is not None and mine.generation > keyed.generation else keyed
