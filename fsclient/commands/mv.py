"""`fsclient mv`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.operations.move import check_movable, move
from fsclient.session.session import Session
from fsclient.transfer.report.failures import Failures
from fsclient.tree.nodes import TreeNode, must_be_folder
from fsclient.tree.tree import Tree
from fsproto.errors import ExistsError, FsError, UsageError
from fsproto.names import RemotePath, parse_path

EXAMPLES = """\b
Examples:
  fsclient mv draft.txt final.txt          another name
  fsclient mv a.txt b.txt archive/         into a folder that is there
"""


@click.command(epilog=EXAMPLES)
@click.argument("paths", nargs=-1, required=True, metavar="REMOTE… REMOTE")
@click.option("-f", "force", is_flag=True, help="Replace a file that is in the way.")
@click.pass_obj
def command(app: App, paths: tuple[str, ...], *, force: bool) -> None:
    """Move or rename files and folders.

    The last path is the target: the others go into it if it is a folder or ends in '/', else
    the file or folder gets that name. With -f, a file replaces an existing file; a folder is
    never replaced. Content is not sent again.
    """
    if len(paths) < 2:  # noqa: PLR2004 - what and where to
        raise UsageError("What is to be moved, and where to? fsclient mv OLD NEW")
    *sources, target = [parse_path(path) for path in paths]
    failures, moved = Failures(app.ui), []
    with app.session() as session:
        folder, name = _target(session.tree, target, several=len(sources) > 1)
        for source in sources:
            try:
                new = _move(app, session, source, folder, name, force=force)
            except FsError as error:
                failures.note(error)
                continue
            moved.append({"from": str(source), "to": str(new)})
            app.ui.say(f"moved {source} to {new}" if new != source else f"{new} is there already")
    app.ui.result_of(moved=moved, failed=failures.data)
    failures.raise_if_any()


def _target(tree: Tree, target: RemotePath, *, several: bool) -> tuple[TreeNode, str]:
    """Return the target folder, and the new name there; an empty name keeps the old one."""
    reached = tree.reach(target)[-1]
    there = len(reached.path.parts) == len(target.parts)
    into = several or target.names_folder or (there and reached.is_folder)
    folder = tree.find(target if into else target.parent)
    return must_be_folder(folder), "" if into else target.name


def _move(
    app: App, session: Session, source: RemotePath, folder: TreeNode, name: str, *, force: bool
) -> RemotePath:
    tree = session.tree
    found = tree.find(source)
    check_movable(found, folder)
    name = name or found.metadata.name
    replaced = tree.look(folder, [name])[name]
    if replaced is not None and replaced.keyed.node != found.keyed.node:
        both_files = not replaced.is_folder and not found.is_folder
        if not (force and both_files):
            hint = "Give -f to replace it." if both_files else None
            raise ExistsError(f"'{replaced.path}' exists already.", hint=hint)
    if replaced is None or replaced.keyed.node != found.keyed.node:
        move(session, app.ui, found, folder=folder, name=name, replaced=replaced)
    return folder.path.child(name)
