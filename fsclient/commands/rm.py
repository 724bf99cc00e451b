"""`fsclient rm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fsclient.app import App

if TYPE_CHECKING:
    from fsclient.tree.tree import Tree
    from fsproto.names import RemotePath


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="REMOTE…")
@click.option("-r", "recursive", is_flag=True, help="Remove folders with everything in them.")
@click.option("-f", "force", is_flag=True, help="It is no error if something is not there.")
@click.pass_obj
def command(app: App, paths: tuple[str, ...], *, recursive: bool, force: bool) -> None:
    """Remove files, or folders with -r.

    The server keeps removed files for a while: 'history FOLDER' lists them, 'restore' brings
    them back. They are no longer shared with anybody.
    """
    from fsclient.transfer.report.failures import Failures
    from fsproto.errors import FsError, NotFoundError
    from fsproto.names import parse_path

    failures, removed = Failures(app.ui), []
    with app.session() as session:
        for path in [parse_path(path) for path in paths]:
            try:
                _remove(session.tree, path, recursive=recursive)
            except FsError as error:
                if not (force and isinstance(error, NotFoundError)):
                    failures.note(error)
                continue
            removed.append(str(path))
            app.ui.say(f"removed {path}")
    app.ui.result_of(removed=removed, failed=failures.data)
    failures.raise_if_any()


def _remove(tree: Tree, path: RemotePath, *, recursive: bool) -> None:
    from fsclient.tree.commit import Committer
    from fsproto.errors import NotAllowedError, UsageError

    found = tree.find(path)
    if not path.parts:
        raise NotAllowedError("The top of your tree cannot be removed.")
    if found.above is None:
        raise NotAllowedError(
            f"'{path}' is shared with you; only its owner can remove it.",
            hint=f"'fsclient leave {path}' takes it out of your sight.",
        )
    if found.is_folder and not recursive:
        raise UsageError(f"'{path}' is a folder.", hint="Give -r to remove it whole.")
    changes = Committer(tree)
    changes.remove(tree.find(path.parent).keyed, found)
    changes.commit()
