"""The contents of a folder: the opened nodes, and the entries that do not verify.

A writer can sign an entry that no client can open. Only this entry is refused: the folder's state
proves that it exists, so it is neither shown as a node nor taken as absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsproto.errors import ConflictError, IntegrityError, SecurityError
from fsproto.names import for_terminal
from fsproto.proofs.prefix_tree import FolderEntry
from fsproto.values import Value

if TYPE_CHECKING:
    from fsclient.tree.nodes import TreeNode

SHOWN_DIGITS = 8
"""Hex digits of a node's id in sentences."""


class RefusedEntry(Value, frozen=True):
    """An entry of a folder that does not verify; the folder's state proves that it is there."""

    folder: TreeNode
    entry: FolderEntry
    is_folder: bool
    author: str
    """The author of the entry, if `signed`; else the author of the folder's newest state."""
    signed: bool
    """Whether the author's own signature on the entry was verified."""
    why: SecurityError

    @property
    def id(self) -> str:
        """The id of the node, 32 hex digits."""
        return self.entry.node.hex()

    @property
    def error(self) -> IntegrityError:
        """The error that names the entry and its author."""
        short, folder = self.id[:SHOWN_DIGITS], self.folder.path
        by = f"signed by {for_terminal(self.author)}"
        if not self.signed:
            by = f"in a folder whose newest state {for_terminal(self.author)} has signed"
        return IntegrityError(
            f"The entry {short} of '{folder}', {by}, does not verify: {self.why.sentence}",
            hint=f"'fsclient rm --id {short} {folder.argument}' removes it.",
        )


class RefusedShare(Value, frozen=True):
    """A share of another user that cannot be shown, and why."""

    owner: str
    error: SecurityError | ConflictError
    """`ConflictError` if it does not verify now, and may do so later."""


class FolderContents(Value, frozen=True):
    """All entries of a folder; the folder's state proves that none is missing or added."""

    nodes: list[TreeNode]
    """The nodes that were opened, sorted by name."""
    refused: list[RefusedEntry] | list[RefusedShare]
    """The entries that do not verify."""

    @property
    def is_empty(self) -> bool:
        """Return whether the folder has no entry at all."""
        return not self.nodes and not self.refused

    @property
    def files(self) -> FolderContents:
        """The same entries without folders."""
        nodes = [one for one in self.nodes if not one.is_folder]
        return FolderContents(nodes, self.refused)

    def refused_as(self, name: str) -> RefusedEntry | None:
        """Return the entry under a name, if that entry does not verify."""
        entries = [one for one in self.refused if isinstance(one, RefusedEntry)]
        if not entries:
            return None
        tokens = set(entries[0].folder.keyed.tokens(name))
        return next((one for one in entries if one.entry.token in tokens), None)


def one_node_twice() -> IntegrityError:
    """Return the error for a node that has two entries."""
    return IntegrityError("The folder holds one file or folder under two names.")


def two_of_one_name() -> IntegrityError:
    """Return the error for two nodes with one name."""
    return IntegrityError("The folder has two entries with one name.")
