"""Everything below a folder, for commands that list, search or count."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TypeVar

from fsclient.transfer.filters import Filters
from fsclient.transfer.report.failures import Failures
from fsclient.tree.contents import FolderContents
from fsclient.tree.nodes import TreeNode
from fsclient.tree.tree import Tree
from fsproto.errors import FsError

T = TypeVar("T")


def listed(
    tree: Tree, waiting: deque[tuple[TreeNode, T]], failures: Failures
) -> Iterator[tuple[T, FolderContents]]:
    """Yield the entries of folders, as `Tree.listings` does; more may be added at any time.

    A folder that cannot be listed, and an entry that does not verify, are noted as failures.
    """
    for name, inside in tree.listings(waiting):
        if isinstance(inside, FsError):
            failures.note(inside)
            continue
        for refused in inside.refused:
            failures.note(refused.error)
        yield name, inside


def walk(
    tree: Tree,
    top: TreeNode,
    failures: Failures,
    depth: int | None = None,
    filters: Filters | None = None,
) -> Iterator[tuple[TreeNode, FolderContents]]:
    """Yield a folder and every folder below it, each with its entries; folders before their own.

    `depth` is how many levels of folders are listed, at least 1; None: all. What `filters` leave
    out is omitted. Failures are noted as `listed` does.
    """
    waiting = deque([(top, top)])
    base = len(top.path.parts)
    for folder, inside in listed(tree, waiting, failures):
        if filters:
            nodes = [one for one in inside.nodes if not _is_left_out(filters, one, base)]
            inside = FolderContents(nodes, inside.refused)  # noqa: PLW2901
        if depth is None or len(folder.path.parts) - base + 1 < depth:
            waiting.extend((one, one) for one in inside.nodes if one.is_folder)
        yield folder, inside


def _is_left_out(filters: Filters, node: TreeNode, base: int) -> bool:
    path = "/".join(node.path.parts[base:])
    return filters.leave_out(path, None if node.is_folder else lambda: node.metadata)


def nodes_below(
    tree: Tree,
    top: TreeNode,
    failures: Failures,
    depth: int | None = None,
    filters: Filters | None = None,
) -> Iterator[TreeNode]:
    """Yield a node and, of a folder, everything below it, not deeper than `depth` levels.

    What `filters` leave out is omitted; so are folders, if the filters choose files.
    """
    only_files = filters is not None and filters.choose_files
    if top.is_folder:
        if not only_files:
            yield top
    elif not filters or not _is_left_out(filters, top, len(top.path.parts) - 1):
        yield top
    if top.is_folder and depth != 0:
        for _, inside in walk(tree, top, failures, depth, filters):
            yield from (one for one in inside.nodes if not (only_files and one.is_folder))
