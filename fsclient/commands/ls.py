"""`fsclient ls`."""

from __future__ import annotations

from typing import Any

import click

from fsclient.app import App
from fsclient.inbox.marks import dropped_data, mark
from fsclient.transfer.report.failures import Failures
from fsclient.tree.contents import FolderContents, RefusedEntry, RefusedShare
from fsclient.tree.nodes import TreeNode
from fsclient.tree.tree import Tree
from fskit.text import time_text
from fsproto.errors import SignatureError
from fsproto.names import parse_path
from fsproto.sealed.manifest import Mode

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

    An entry that does not verify is reported by the id of its node and by its author; all other
    entries are listed, and the exit status is 7. 'rm --id' removes such an entry.
    """
    failures = Failures(app.ui)
    listings: list[tuple[TreeNode, FolderContents]] = []
    data: list[dict[str, Any]] = []
    with app.session() as session:
        for path in [parse_path(path) for path in paths or ("/",)]:
            found = session.tree.find(path)
            one = session.tree.children(found) if found.is_folder else FolderContents([found], [])
            listings.append((found, one))
            for refused in one.refused:
                failures.note(refused.error)
            if app.ui.as_json:
                data += [_data(session.tree, one, failures) for one in one.nodes]
                data += [_refused_data(one) for one in one.refused]
    lines: list[str] = []
    for at, (found, inside) in enumerate(listings):
        if len(listings) > 1:
            lines += [""] * bool(at) + [f"{found.path}:"]
        lines += _lines(inside.nodes, long=long)
    app.ui.result(data, lines)
    failures.raise_if_any()


def _data(tree: Tree, found: TreeNode, failures: Failures) -> dict[str, Any]:
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


def _refused_data(refused: RefusedEntry | RefusedShare) -> dict[str, Any]:
    data: dict[str, Any] = dict.fromkeys(
        ("name", "path", "size", "mtime_ns", "executable", "version", "author", "dropped")
    )
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


def _lines(inside: list[TreeNode], *, long: bool) -> list[str]:
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
