"""`fsclient tree`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from fsclient.app import App
from fsclient.operations.listing import Style, entry_data
from fsclient.operations.walk import walk
from fsclient.operations.wildcards import found_at
from fsclient.transfer.report.failures import Failures
from fsclient.tree.nodes import TreeNode
from fsproto.names import RemotePath

Below = dict[RemotePath, list[TreeNode]]
"""The entries of each folder, sorted by name."""


@click.command()
@click.argument("paths", nargs=-1, metavar="[REMOTE]…")
@click.option("-L", "--max-depth", type=click.IntRange(1), metavar="N", help="At most N levels.")
@click.option("-d", "folders_only", is_flag=True, help="Show only folders.")
@click.option("-l", "long", is_flag=True, help="Show sizes and times as well.")
@click.pass_obj
def command(
    app: App, paths: tuple[str, ...], *, max_depth: int | None, folders_only: bool, long: bool
) -> None:
    """Show folders with everything below them as a tree."""
    failures, style = Failures(app.ui), Style(long=long)
    lines: list[str] = []
    data: list[dict[str, Any]] = []
    with app.session() as session:
        tree = session.tree.listing()
        for top in found_at(tree, [app.path(path) for path in paths or (".",)], failures):
            below: Below = {}
            if top.is_folder:
                for folder, inside in walk(tree, top, failures, max_depth):
                    kept = (one for one in inside.nodes if one.is_folder or not folders_only)
                    below[folder.path] = style.sorted(kept)
            rows = list(_rows(top, app.shown(top.path), below))
            nodes = [node for node, _ in rows]
            if app.ui.as_json:
                data += [entry_data(tree, one, failures) for one in nodes]
            lines += style.lines(nodes, [name for _, name in rows])
    app.ui.result(data, lines)
    failures.raise_if_any()


def _rows(top: TreeNode, shown: str, below: Below) -> Iterator[tuple[TreeNode, str]]:
    """Yield each node with its name, drawn as a branch; without recursion, as trees are deep."""
    yield top, shown
    waiting = [("", iter(below.get(top.path, ())), len(below.get(top.path, ())))]
    while waiting:
        margin, nodes, left = waiting.pop()
        node = next(nodes, None)
        if node is None:
            continue
        last = left == 1
        yield node, margin + ("└── " if last else "├── ") + node.path.name
        waiting.append((margin, nodes, left - 1))
        inside = below.get(node.path, ())
        waiting.append((margin + ("    " if last else "│   "), iter(inside), len(inside)))
