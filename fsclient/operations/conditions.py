"""Conditions on files and folders: by name, kind, size and time."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate

from fsclient.transfer.filters import Limits
from fsclient.tree.nodes import TreeNode
from fsproto.names import canonical_name
from fsproto.values import Value

KINDS = {"f": "file", "d": "folder", "l": "symlink"}


class Conditions(Value, frozen=True):
    """Conditions that must all hold; None and empty ones hold always."""

    names: tuple[str, ...] = ()
    """Patterns of which the name must match one."""
    ignore_case: bool = False
    kinds: tuple[str, ...] = ()
    """Letters of `KINDS`."""
    limits: Limits = Limits()
    """Sizes are of files alone, times also of folders."""

    def test(self) -> Callable[[TreeNode], bool]:
        """Return a function that tells whether a node fits."""
        flags = re.IGNORECASE if self.ignore_case else 0
        patterns = [re.compile(translate(canonical_name(one)), flags) for one in self.names]
        kinds, limits = {KINDS[one] for one in self.kinds}, self.limits

        def fits(node: TreeNode) -> bool:
            meta = node.metadata
            return (
                (not patterns or any(one.match(node.path.name) for one in patterns))
                and (not kinds or node.kind in kinds)
                and not (node.is_folder and limits.limit_sizes)
                and (node.is_folder or limits.size_fits(meta))
                and limits.time_fits(meta)
            )

        return fits
