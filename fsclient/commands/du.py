"""`fsclient du`."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from fsclient.app import App
from fsclient.commands.filtering import filtering
from fsclient.operations.walk import nodes_below
from fsclient.operations.wildcards import found_at
from fsclient.transfer.filters import Filters
from fsclient.transfer.report.failures import Failures
from fsclient.tree.nodes import TreeNode
from fskit.text import binary_size_text
from fsproto.names import RemotePath
from fsproto.values import Value

_AFTER_ALL = chr(sys.maxunicode)
"""Sorts a folder after everything in it."""


class Usage(Value, frozen=True):
    """What a file or folder contains: bytes of files, and their number."""

    path: RemotePath
    size: int
    files: int


@click.command(context_settings={"help_option_names": ["--help"]})
@click.argument("paths", nargs=-1, metavar="[REMOTE]…")
@click.option("-s", "summary", is_flag=True, help="Only a total for each REMOTE.")
@click.option("-d", "--max-depth", type=click.IntRange(0), metavar="N",
              help="Show folders at most N levels below each REMOTE.")  # fmt: skip
@click.option("-h", "human", is_flag=True, help="Show sizes like 3.4 MiB.")
@filtering
@click.pass_obj
def command(
    app: App,
    paths: tuple[str, ...],
    *,
    summary: bool,
    max_depth: int | None,
    human: bool,
    filters: Filters,
) -> None:
    """Show how many bytes the files in each folder have, and how many files there are.

    Counts the newest versions. 'fsclient status' shows what counts in your quota: that includes
    older versions and removed files, which the server keeps for a while.
    """
    failures = Failures(app.ui)
    deepest = 0 if summary else max_depth
    usage: list[Usage] = []
    with app.session() as session:
        tree = session.tree.listing()
        for top in found_at(tree, [app.path(path) for path in paths or (".",)], failures):
            usage += _usage(top, nodes_below(tree, top, failures, filters=filters), deepest)
    sizes = [binary_size_text(one.size) if human else f"{one.size:,}" for one in usage]
    counts = [f"{one.files:,}" for one in usage]
    widths = [max(map(len, some), default=0) for some in (sizes, counts)]
    app.ui.result(
        [{"path": str(one.path), "size": one.size, "files": one.files} for one in usage],
        [
            f"{size:>{widths[0]}}  {count:>{widths[1]}} {'file ' if one.files == 1 else 'files'}"
            f"  {app.shown(one.path)}"
            for one, size, count in zip(usage, sizes, counts, strict=True)
        ],
    )
    failures.raise_if_any()


def _usage(top: TreeNode, nodes: Iterable[TreeNode], deepest: int | None) -> list[Usage]:
    """Return the totals of `top` and of the folders below it, each after those in it."""
    base, totals = len(top.path.parts), dict[RemotePath, list[int]]()
    for node in nodes:
        parts = node.path.parts
        folders = range(base, len(parts) + node.is_folder)
        for depth in {base, *folders}:
            if deepest is None or depth - base <= deepest:
                total = totals.setdefault(RemotePath(node.path.owner, parts[:depth]), [0, 0])
                if not node.is_folder:
                    total[0] += node.metadata.size
                    total[1] += 1
    found = [Usage(path, *total) for path, total in totals.items()]
    return sorted(found, key=lambda one: (*one.path.parts, _AFTER_ALL))
