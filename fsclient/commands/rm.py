"""`fsclient rm`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.transfer.report.failures import Failures
from fsclient.tree.commit import Committer
from fsclient.tree.contents import SHOWN_DIGITS, RefusedEntry, RefusedShare
from fsclient.tree.nodes import must_be_folder
from fsclient.tree.tree import Tree
from fsproto.errors import FsError, NotAllowedError, NotFoundError, UsageError
from fsproto.names import RemotePath, parse_path


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="REMOTE…")
@click.option("-r", "recursive", is_flag=True, help="Remove folders with everything in them.")
@click.option("-f", "force", is_flag=True, help="It is no error if something is not there.")
@click.option(
    "--id",
    "chosen",
    metavar="ID",
    help="Remove the entry of this folder that does not verify and has this id.",
)
@click.pass_obj
def command(
    app: App, paths: tuple[str, ...], *, recursive: bool, force: bool, chosen: str | None
) -> None:
    """Remove files, or folders with -r.

    The server keeps removed files for a while: 'history FOLDER' lists them, 'restore' brings
    them back. They are no longer shared with anybody.

    An entry that does not verify has no name. 'rm --id ID FOLDER' removes it by the id that 'ls
    FOLDER' shows; a folder is removed with everything in it.
    """
    if chosen is not None and len(paths) != 1:
        raise UsageError("--id removes one entry of one folder: give one path.")
    failures, removed = Failures(app.ui), []
    with app.session() as session:
        for path in [parse_path(path) for path in paths]:
            try:
                if chosen is not None:
                    shown = _remove_refused(session.tree, path, chosen)
                else:
                    _remove(session.tree, path, recursive=recursive)
                    shown = str(path)
            except FsError as error:
                if not (force and isinstance(error, NotFoundError)):
                    failures.note(error)
                continue
            removed.append(shown)
            app.ui.say(f"removed {shown}")
    app.ui.result_of(removed=removed, failed=failures.data)
    failures.raise_if_any()


def _remove(tree: Tree, path: RemotePath, *, recursive: bool) -> None:
    if not path.parts:
        tree.find(path)
        raise NotAllowedError("The top of your tree cannot be removed.")
    folder = tree.find(path.parent)
    found = tree.look_each(folder, [path.name])[path.name]
    if found is None:
        raise NotFoundError(f"There is no '{path}'.")
    if isinstance(found, RefusedShare):
        raise found.error
    changes = Committer(tree)
    if isinstance(found, RefusedEntry):
        _check_kind(path, is_folder=found.is_folder, recursive=recursive)
        changes.remove_refused(found)
    else:
        if path.names_folder and not found.is_folder:
            raise NotFoundError(f"'{path}' is a file, not a folder.")
        if found.above is None:
            raise NotAllowedError(
                f"'{path}' is shared with you; only its owner can remove it.",
                hint=f"'fsclient leave {path}' takes it out of your sight.",
            )
        _check_kind(path, is_folder=found.is_folder, recursive=recursive)
        changes.remove(folder.keyed, found)
    changes.commit()


def _check_kind(path: RemotePath, *, is_folder: bool, recursive: bool) -> None:
    if is_folder and not recursive:
        raise UsageError(f"'{path}' is a folder.", hint="Give -r to remove it whole.")


def _remove_refused(tree: Tree, path: RemotePath, chosen: str) -> str:
    """Remove the entry of a folder that does not verify and has this id; return its full name."""
    folder, start = must_be_folder(tree.find(path)), chosen.lower()
    if len(start) < SHOWN_DIGITS:
        raise UsageError(f"An id has at least {SHOWN_DIGITS} digits, as 'fsclient ls' shows them.")
    entries = [one for one in tree.children(folder).refused if isinstance(one, RefusedEntry)]
    entries = [one for one in entries if one.id.startswith(start)]
    if not entries:
        raise NotFoundError(
            f"No entry of '{path}' that does not verify has the id {chosen}.",
            hint=f"'fsclient ls {path}' shows them; all others are removed by name.",
        )
    if len(entries) > 1:
        ids = ", ".join(one.id for one in entries)
        raise UsageError(f"Several entries of '{path}' have an id that starts so: {ids}.")
    changes = Committer(tree)
    changes.remove_refused(entries[0])
    changes.commit()
    return f"{entries[0].id} from {path}"
