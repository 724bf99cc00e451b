"""`fsclient find`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from fsclient.app import App
from fsclient.commands.filtering import limiting, matching
from fsclient.operations.conditions import KINDS, Conditions
from fsclient.operations.listing import Style, entry_data, removed_data, removed_lines
from fsclient.operations.trash import RemoteTrash, TrashChoice
from fsclient.operations.walk import nodes_below
from fsclient.operations.wildcards import found_at
from fsclient.transfer.filters import Filters, Limits
from fsclient.transfer.report.failures import Failures
from fsclient.tree.nodes import TreeNode
from fsproto.errors import UsageError
from fsproto.names import RemotePath

EXAMPLES = """\b
Examples:
  fsclient find --name '*.pdf'             in your whole tree
  fsclient find photos --newer-than 7d     changed within a week
  fsclient find --removed --name '*.pdf'   what was removed, from all folders
  fsclient find alice: --min-size 100M -l  with sizes and times
"""


@click.command(epilog=EXAMPLES)
@click.argument("paths", nargs=-1, metavar="[REMOTE]…")
@click.option(
    "--name", "names", multiple=True, metavar="PATTERN", help="The name matches; may be repeated."
)
@click.option("-i", "--ignore-case", is_flag=True, help="Upper and lower case are alike in names.")
@click.option(
    "--type", "kinds", multiple=True, type=click.Choice(list(KINDS)),
    help="Only files (f), folders (d) or symbolic links (l); may be repeated.",
)  # fmt: skip
@limiting
@matching
@click.option(
    "--max-depth", type=click.IntRange(0), metavar="N", help="Look at most N folders deep."
)
@click.option("--removed", is_flag=True, help="Search what was removed and is kept by the server.")
@click.option("-l", "long", is_flag=True, help="Show sizes and times as well.")
@click.pass_obj
def command(
    app: App,
    /,
    paths: tuple[str, ...],
    *,
    max_depth: int | None,
    removed: bool,
    long: bool,
    filters: Filters,
    names: tuple[str, ...],
    ignore_case: bool,
    kinds: tuple[str, ...],
    **limits: Any,  # noqa: ANN401 - the fields of `Limits`
) -> None:
    """Find files and folders by name, kind, size or time.

    Prints the path of each that fits all conditions, at REMOTE and below (default: your whole
    tree). SIZE is a number like 500M, in powers of 1024. WHEN is a date like 2026-11-28, or a
    time ago: 90s, 15m, 8h, 7d, 2w. Everything that is shown was verified.

    With --removed, it searches the removed files and folders under their former paths; 'fsclient
    restore' brings one back. -l shows id, time of the removal, size and person.
    """
    failures = Failures(app.ui)
    conditions = Conditions(names, ignore_case, kinds, Limits(**limits))
    fits = conditions.test()
    if removed:
        if filters:
            raise UsageError("The option --removed takes no patterns of paths; use --name.")
        _find_removed(app, tuple(map(app.path, paths)), fits, failures, long=long, depth=max_depth)
        return
    with app.session() as session:
        tree = session.tree.listing()
        tops = found_at(tree, [app.path(path) for path in paths or (".",)], failures)
        found = [
            one
            for top in tops
            for one in nodes_below(tree, top, failures, max_depth, filters)
            if fits(one)
        ]
        style = Style(long=long)
        found = style.sorted(found)
        data = [entry_data(tree, one, failures) for one in found] if app.ui.as_json else []
    app.ui.result(data, style.lines(found, [app.shown(one.path) for one in found]))
    failures.raise_if_any()


def _find_removed(
    app: App,
    paths: tuple[RemotePath, ...],
    fits: Callable[[TreeNode], bool],
    failures: Failures,
    *,
    long: bool,
    depth: int | None,
) -> None:
    with app.session() as session:
        trash = RemoteTrash(session, failures)
        gone, refused = trash.find(TrashChoice(paths or (app.path("."),)))
        tops = [top.path.parts for top in trash.tops]
    for one in refused:
        failures.note(one.error)

    def is_near(parts: tuple[str, ...]) -> bool:
        return depth is None or any(
            parts[: len(top)] == top and len(parts) - len(top) <= depth for top in tops
        )

    found = [one for one in gone if fits(one.found) and is_near(one.found.path.parts)]
    shown = [app.shown(one.found.path) for one in found]
    lines = removed_lines(found, shown) if long else shown
    app.ui.result([removed_data(one) for one in found], lines)
    failures.raise_if_any()
