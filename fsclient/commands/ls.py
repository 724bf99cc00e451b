"""`fsclient ls`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from fsclient.app import App

if TYPE_CHECKING:
    from fsclient.tree.nodes import TreeNode


_MARKS = {"folder": "/", "file": "", "symlink": "@"}


@click.command()
@click.argument("paths", nargs=-1, metavar="[REMOTE]…")
@click.option("-l", "long", is_flag=True, help="Show sizes and times as well.")
@click.pass_obj
def command(app: App, paths: tuple[str, ...], *, long: bool) -> None:
    """List folders or show single files. Without a path: the top of your tree.

    Names of folders end in '/', names of symbolic links in '@'; 'cat' writes a link's target.
    The listing is verified: the server can neither hide, add nor exchange an entry. With -l,
    files from the drop box, whose content the server has seen, are marked as dropped.
    """
    from fsproto.names import parse_path

    with app.session() as session:
        listings = []
        for path in [parse_path(path) for path in paths or ("/",)]:
            found = session.tree.find(path)
            listings.append((found, session.tree.children(found) if found.is_folder else [found]))
    data = [_data(one) for _, inside in listings for one in inside]
    lines: list[str] = []
    for at, (found, inside) in enumerate(listings):
        if len(listings) > 1:
            lines += [""] * bool(at) + [f"{found.path}:"]
        lines += _lines(inside, long=long)
    app.ui.result(data, lines)


def _data(found: TreeNode) -> dict[str, Any]:
    from fsclient.inbox.marks import dropped_data
    from fsproto.sealed.manifest import Mode

    meta = found.metadata
    return {
        "name": found.path.name,
        "path": str(found.path),
        "kind": found.kind,
        "size": meta.size,
        "mtime_ns": meta.mtime_ns,
        "executable": meta.mode is Mode.EXECUTABLE,
        "version": found.manifest.body.version,
        "author": found.manifest.body.author,
        "dropped": dropped_data(meta),
    }


def _lines(inside: list[TreeNode], *, long: bool) -> list[str]:
    from fsclient.inbox.marks import mark
    from fskit.text import time_text

    names = [one.path.name + _MARKS[one.kind] for one in inside]
    if not long:
        return names
    names = [name + mark(one.metadata) for one, name in zip(inside, names, strict=True)]
    sizes = ["-" if one.is_folder else f"{one.metadata.size:,}" for one in inside]
    width = max(map(len, sizes), default=0)
    return [
        f"{size:>{width}}  {time_text(one.metadata.mtime_ns / 1e6)}  {name}"
        for one, size, name in zip(inside, sizes, names, strict=True)
    ]
