"""Nodes that could not be renewed after a change of a member list."""

from __future__ import annotations

from typing import Any

from fsclient.tree.nodes import TreeNode
from fsproto.errors import FsError, IntegrityError, SecurityError
from fsproto.names import RemotePath
from fsproto.values import Value


class LeftBehind(Value, frozen=True):
    """A node that keeps its old key or its old member list, and why."""

    path: RemotePath | None
    """None for a share whose place is unknown."""
    error: FsError

    @property
    def sentence(self) -> str:
        """The sentence for the owner."""
        what = f"'{self.path}' with everything in it" if self.path else "Something that you share"
        return f"{what} keeps its old keys: {self.error.sentence}"

    @property
    def failure(self) -> FsError:
        """The error to report where the command fails because of this."""
        kind = IntegrityError if isinstance(self.error, SecurityError) else type(self.error)
        return kind(self.sentence, hint=self.error.hint)

    @property
    def data(self) -> dict[str, Any]:
        """The fields for the JSON result."""
        path = str(self.path) if self.path is not None else None
        return {"path": path, "error": self.error.code, "message": self.error.sentence}

    def is_above(self, found: TreeNode) -> bool:
        """Return whether this node is a folder above another."""
        parts = self.path.parts if self.path is not None else None
        return parts is not None and found.path.parts[: len(parts)] == parts
