"""How entries of folders are sorted and shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from fsclient.inbox.marks import dropped_data, mark
from fsclient.sharing.marks import mark as share_mark
from fsclient.transfer.report.failures import Failures
from fsclient.tree.contents import RefusedEntry, RefusedShare
from fsclient.tree.nodes import TreeNode
from fsclient.tree.removed import RemovedNode
from fsclient.tree.tree import Tree
from fskit.text import binary_size_text, time_column
from fsproto.errors import SignatureError
from fsproto.sealed.manifest import Mode
from fsproto.types import NodeId
from fsproto.values import Value

_MARKS = {"folder": "/", "file": "", "symlink": "@"}


class Style(Value, frozen=True):
    """The options of `ls` that say how entries are sorted and shown."""

    long: bool = False
    """With sizes and times."""
    human: bool = False
    """Sizes in powers of 1024 with a unit."""
    by_time: bool = False
    """The newest first."""
    by_size: bool = False
    """The largest first."""
    reverse: bool = False

    def sorted(self, nodes: Iterable[TreeNode]) -> list[TreeNode]:
        """Return nodes in this order; those that are equal in it are sorted by name."""
        found = sorted(nodes, key=lambda one: one.path.parts, reverse=self.reverse)
        if self.by_size:
            found.sort(key=lambda one: -one.metadata.size, reverse=self.reverse)
        elif self.by_time:
            found.sort(key=lambda one: -one.metadata.mtime_ns, reverse=self.reverse)
        return found

    def size(self, node: TreeNode) -> str:
        """Return the size of a file in words, `-` for a folder."""
        if node.is_folder:
            return "-"
        size = node.metadata.size
        return binary_size_text(size) if self.human else f"{size:,}"

    def lines(
        self,
        nodes: list[TreeNode],
        names: list[str] | None = None,
        shared: Mapping[NodeId, list[str]] = MappingProxyType({}),
    ) -> list[str]:
        """Return a line for each node; `names` are shown in place of the last part of its path.

        `shared`: the members of shared nodes.
        """
        names = names or [one.path.name or str(one.path) for one in nodes]
        shown = [
            name + _MARKS[one.kind] * bool(one.path.parts)
            for one, name in zip(nodes, names, strict=True)
        ]
        if not self.long:
            return shown
        sizes = [self.size(one) for one in nodes]
        width = max(map(len, sizes), default=0)
        return [
            f"{size:>{width}}  {time_column(one.metadata.mtime_ns / 1e6)}  "
            f"{name}{mark(one.metadata)}{share_mark(shared.get(one.keyed.node, []))}"
            for one, size, name in zip(nodes, sizes, shown, strict=True)
        ]


def entry_data(
    tree: Tree,
    found: TreeNode,
    failures: Failures,
    shared: Mapping[NodeId, list[str]] | None = None,
) -> dict[str, Any]:
    """Return what `--json` says of an entry; `shared`: the members of shared nodes, if known."""
    meta = found.metadata
    return {
        "name": found.path.name,
        "path": str(found.path),
        "kind": found.kind,
        "size": meta.size,
        "mtime_ns": meta.mtime_ns,
        "executable": meta.mode is Mode.EXECUTABLE,
        "version": found.manifest.body.version,
        "author": _author(tree, found, failures),
        "dropped": dropped_data(meta),
        "shared_with": None if shared is None else shared.get(found.keyed.node, []),
        "refused": None,
    }


def _author(tree: Tree, found: TreeNode, failures: Failures) -> str | None:
    """Return the author of a node; None, and a failure, if the signature does not verify.

    The folder's state proves the node, but the node's own signature proves the author.
    """
    if found.above is None:  # a top: its signature was verified when it was opened
        return found.manifest.body.author
    try:
        tree.context.authors.check_manifest(found.manifest)
    except SignatureError as error:
        failures.note(SignatureError(f"'{found.path}': {error.sentence}", hint=error.hint))
        return None
    return found.manifest.body.author


def refused_data(refused: RefusedEntry | RefusedShare) -> dict[str, Any]:
    """Return what `--json` says of an entry that does not verify."""
    names = "name path size mtime_ns executable version author dropped shared_with"
    data: dict[str, Any] = dict.fromkeys(names.split())
    data["kind"] = "refused"
    if isinstance(refused, RefusedEntry):
        data["author"] = refused.author if refused.signed else None
        return data | {
            "refused": {
                "id": refused.id,
                "folder": str(refused.folder.path),
                "state_author": None if refused.signed else refused.author,
                "message": refused.why.sentence,
            }
        }
    return data | {
        "refused": {
            "id": None,
            "folder": f"{refused.owner}:",
            "state_author": None,
            "message": refused.error.sentence,
        }
    }


def removed_data(one: RemovedNode) -> dict[str, Any]:
    """Return what `--json` says of a removed file or folder."""
    found, body = one.found, one.state.body
    return {
        "name": found.metadata.name,
        "path": str(found.path),
        "kind": found.kind,
        "size": found.metadata.size,
        "version": one.version,
        "id": one.id,
        "removed_ms": body.time_ms,
        "removed_by": body.author,
        "replaced": one.replaced,
    }


def removed_lines(gone: list[RemovedNode], names: list[str]) -> list[str]:
    """Return a line for each removed file or folder, with its name as given."""
    sizes = ["-" if one.found.is_folder else f"{one.found.metadata.size:,}" for one in gone]
    how = [f"{('removed', 'replaced')[one.replaced]} by {one.state.body.author}" for one in gone]
    widths = [max(map(len, some), default=0) for some in (sizes, how)]
    return [
        f"{one.id}  {time_column(one.state.body.time_ms)}  {size:>{widths[0]}}  "
        f"{by:<{widths[1]}}  {name}{_MARKS[one.found.kind]}"
        for one, name, size, by in zip(gone, names, sizes, how, strict=True)
    ]
