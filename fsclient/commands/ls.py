"""`fsclient ls`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import click

from fsclient.app import App
from fsclient.commands.filtering import filtering
from fsclient.operations.listing import Style, entry_data, refused_data
from fsclient.operations.walk import walk
from fsclient.operations.wildcards import found_at
from fsclient.sharing.marks import members_of, who_shares
from fsclient.transfer.filters import Filters
from fsclient.transfer.report.failures import Failures
from fsclient.tree.contents import FolderContents
from fsclient.tree.nodes import TreeNode
from fsclient.tree.tree import Tree
from fsclient.ui import is_terminal
from fsproto.links.url_grammar import is_url
from fsproto.types import NodeId

EXAMPLES = """\b
Examples:
  fsclient ls -lh reports                  with sizes and times
  fsclient ls -lt 'photos/*.jpg'           the newest first
  fsclient ls -R alice:                    what alice shares, with all folders
"""
Listing = tuple[TreeNode | None, FolderContents]
"""A folder with its entries; None with nodes that are shown by their paths."""


@click.command(epilog=EXAMPLES, context_settings={"help_option_names": ["--help"]})
@click.argument("paths", nargs=-1, metavar="[REMOTE]…")
@click.option("-l", "long", is_flag=True, help="Show sizes and times as well.")
@click.option("-h", "human", is_flag=True, help="Show sizes like 3.4 MiB; with -l.")
@click.option("-t", "by_time", is_flag=True, help="Sort by time, the newest first.")
@click.option("-S", "by_size", is_flag=True, help="Sort by size, the largest first.")
@click.option("-r", "reverse", is_flag=True, help="Sort in reverse.")
@click.option("-R", "recursive", is_flag=True, help="List all folders below as well.")
@click.option("-d", "itself", is_flag=True, help="Show folders themselves, not their entries.")
@click.option("-a", is_flag=True, expose_value=False, help="Ignored: all names are always listed.")
@click.option("-1", is_flag=True, expose_value=False, help="Ignored: each name has its own line.")
@filtering
@click.pass_obj
def command(
    app: App,
    /,
    paths: tuple[str, ...],
    *,
    recursive: bool,
    itself: bool,
    filters: Filters,
    **style: bool,
) -> None:
    """List folders or show single files. Without a path: the top of your tree.

    Names of folders end in '/', names of symbolic links in '@'; 'cat' writes a link's target.
    Quoted wildcards match remote names: '*', '?', '[a-z]', and '**' for any folders.
    The listing is verified: the server can neither hide, add nor exchange an entry. With -l,
    files from the drop box, whose content the server has seen, are marked as dropped, and what
    you share has the names of its members. On a terminal, the top of your tree also names the
    users who share something with you.

    A public link (https://HOST/l#…, in quotes) needs no account; listing it is not counted as a
    download.

    An entry that does not verify is reported by the id of its node and by its author; all other
    entries are listed, and the exit status is 7. 'rm --id' removes such an entry.
    """
    if any(is_url(path) for path in paths):
        from fsclient.commands.get_link import list_link

        list_link(app, paths, long=style["long"], human=style["human"])
        return
    failures, order = Failures(app.ui), Style(**style)
    data: list[dict[str, Any]] = []
    shared: dict[NodeId, list[str]] = {}
    sharers = ""
    with app.session() as session:
        tree = session.tree.listing()
        wanted = [app.path(path) for path in paths or (".",)]
        found = order.sorted(found_at(tree, wanted, failures))
        alone = [one for one in found if itself or not one.is_folder]
        listings: list[Listing] = [(None, FolderContents(alone, []))] if alone else []
        for folder in () if itself else (one for one in found if one.is_folder):
            listings += _folders(tree, folder, failures, filters, recursive=recursive)
        if order.long:
            shared = members_of(tree, (one for _, inside in listings for one in inside.nodes))
        if app.ui.as_json:
            known = shared if order.long else None
            for _, inside in listings:
                nodes = order.sorted(inside.nodes)
                data += [entry_data(tree, one, failures, known) for one in nodes]
                data += [refused_data(one) for one in inside.refused]
        elif is_terminal(sys.stdout) and any(_is_top(folder) for folder, _ in listings):
            sharers = who_shares(tree)
    headed = recursive or len(listings) > 1
    app.ui.result(data, list(_lines(app, listings, order, shared, headed=headed)))
    if sharers:
        app.ui.say(sharers)
    failures.raise_if_any()


def _is_top(folder: TreeNode | None) -> bool:
    return folder is not None and folder.path.owner is None and not folder.path.parts


def _folders(
    tree: Tree, folder: TreeNode, failures: Failures, filters: Filters, *, recursive: bool
) -> list[tuple[TreeNode, FolderContents]]:
    found = walk(tree, folder, failures, None if recursive else 1, filters)
    if recursive and filters.choose_files:  # folders are headings here, unless they have no file
        files = ((where, inside.files) for where, inside in found)
        found = ((where, inside) for where, inside in files if not inside.is_empty)
    return sorted(found, key=lambda one: one[0].path.parts)


def _lines(
    app: App,
    listings: list[Listing],
    order: Style,
    shared: dict[NodeId, list[str]],
    *,
    headed: bool,
) -> Iterator[str]:
    for at, (folder, inside) in enumerate(listings):
        if folder is None:
            paths = [app.shown(one.path) for one in inside.nodes]
            yield from order.lines(inside.nodes, paths, shared)
            continue
        if headed:
            yield from [""] * bool(at) + [f"{app.shown(folder.path)}:"]
        yield from order.lines(order.sorted(inside.nodes), shared=shared)
