"""`fsclient mv`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.operations.move import check_movable, move, target_of
from fsclient.operations.wildcards import Places, expanded
from fsclient.session.session import Session
from fsclient.transfer.report.failures import Failures
from fsclient.tree.nodes import TreeNode
from fsproto.errors import ExistsError, UsageError
from fsproto.names import RemotePath

EXAMPLES = """\b
Examples:
  fsclient mv draft.txt final.txt          another name
  fsclient mv a.txt b.txt archive/         into an existing folder
  fsclient mv '*.pdf' archive/             all that match
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
        raise UsageError("Give the old and the new path: fsclient mv OLD NEW")
    *wanted, target = map(app.path, paths)
    failures, moved = Failures(app.ui), []
    with app.session() as session:
        sources = expanded(session.tree, wanted, failures)
        folder, name = target_of(session.tree, target, several=len(sources) > 1)
        gone, taken = Places(session.tree), set[str]()
        for source in sources:
            if gone.have(source):
                continue  # it went with its folder
            with failures.noted():
                if (name or source.name) in taken:
                    new = folder.path.child(name or source.name)
                    raise ExistsError(f"'{new}' was just moved there from another place.")
                new = _move(app, session, source, folder, name, force=force)
                taken.add(new.name)
                moved.append({"from": str(source), "to": str(new)})
                told = f"moved {source} to {new}"
                app.ui.say(told if new != source else f"{new} is there already")
                gone.add(source)
    app.ui.result_of(moved=moved, failed=failures.data)
    failures.raise_if_any()


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
