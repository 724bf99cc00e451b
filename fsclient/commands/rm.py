"""`fsclient rm`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby

import click

from fsclient.app import App
from fsclient.operations.wildcards import Places, expanded
from fsclient.transfer.report.failures import Failures
from fsclient.tree.commit import Committer
from fsclient.tree.contents import SHOWN_DIGITS, RefusedEntry, RefusedShare
from fsclient.tree.nodes import TreeNode, must_be_folder
from fsclient.tree.tree import Tree
from fsclient.ui import Ui
from fsproto.errors import ConflictError, FsError, NotAllowedError, NotFoundError, UsageError
from fsproto.names import RemotePath

_TOGETHER = 300
"""Entries of one folder that are removed in one commit."""


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="REMOTE…")
@click.option("-r", "recursive", is_flag=True, help="Remove folders with everything in them.")
@click.option("-f", "force", is_flag=True, help="No error if something is missing.")
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
    them back. Their shares end.

    Quoted wildcards match remote names: 'reports/*.tmp'. If a pattern matches nothing, nothing is
    removed; with -f, the other paths are.

    An entry that does not verify has no name. 'rm --id ID FOLDER' removes it by the id that 'ls
    FOLDER' shows; a folder is removed with everything in it.
    """
    if chosen is not None and len(paths) != 1:
        raise UsageError("--id removes one entry of one folder: give one path.")
    failures = Failures(app.ui)
    with app.session() as session:
        removal = _Removal(app.ui, session.tree, failures, recursive=recursive, force=force)
        if chosen is not None:
            removal.note(_remove_refused(session.tree, app.path(paths[0]), chosen))
        else:
            removal.run(_wanted(app, session.tree, paths, failures, force=force))
    app.ui.result_of(removed=removal.removed, failed=failures.data)
    failures.raise_if_any()


def _wanted(
    app: App, tree: Tree, paths: tuple[str, ...], failures: Failures, *, force: bool
) -> list[RemotePath]:
    if not force:
        return expanded(tree, map(app.path, paths), failures)
    found: dict[RemotePath, None] = {}
    for path in map(app.path, paths):
        with suppress(NotFoundError):  # a pattern that matches nothing, or in no folder
            found |= dict.fromkeys(expanded(tree, [path], failures))
    return list(found)


class _Removal:
    """The removal of paths: those of one folder in one commit."""

    def __init__(
        self, ui: Ui, tree: Tree, failures: Failures, *, recursive: bool, force: bool
    ) -> None:
        self._ui = ui
        self._tree = tree
        self._failures = failures
        self._recursive = recursive
        self._force = force
        self._gone = Places(tree)
        self.removed: list[str] = []

    def run(self, paths: Sequence[RemotePath]) -> None:
        """Remove all paths; the failure of one does not keep the others."""
        for parent, group in groupby(paths, key=lambda path: path.parent):
            some = list(group)
            for at in range(0, len(some), _TOGETHER):
                self._remove_from(parent, some[at : at + _TOGETHER])

    def note(self, shown: str) -> None:
        """Note something that was removed."""
        self.removed.append(shown)
        self._ui.say(f"removed {shown}")

    def _remove_from(self, parent: RemotePath, paths: list[RemotePath]) -> None:
        """Remove paths of one folder together, or one by one if that fails."""
        paths = [path for path in paths if not self._gone.have(path)]  # they went with a folder
        if not paths:
            return
        changes, ready = Committer(self._tree), list[RemotePath]()
        with self._noted():
            folder, there = self._look(parent, paths)
            for path in paths:
                with self._noted():
                    self._add(changes, folder, path, there.get(path.name))
                    ready.append(path)
            try:
                changes.commit()
            except ConflictError:
                if len(ready) == 1:
                    raise
                for path in ready:
                    self._remove_from(parent, [path])
                return
            for path in ready:
                self._gone.add(path)
                self.note(str(path))

    def _look(
        self, parent: RemotePath, paths: list[RemotePath]
    ) -> tuple[TreeNode, dict[str, TreeNode | RefusedEntry | RefusedShare | None]]:
        folder = self._tree.find(parent)
        names = [path.name for path in paths if path.parts]
        return folder, self._tree.look_each(folder, names) if names else {}

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Note an error of the block as a failure; with -f, a missing file is none."""
        try:
            yield
        except FsError as error:
            if not (self._force and isinstance(error, NotFoundError)):
                self._failures.note(error)

    def _add(
        self,
        changes: Committer,
        folder: TreeNode,
        path: RemotePath,
        found: TreeNode | RefusedEntry | RefusedShare | None,
    ) -> None:
        """Add the removal of one path to the changes of its folder."""
        if not path.parts:
            raise NotAllowedError("The top of your tree cannot be removed.")
        if found is None:
            raise NotFoundError(f"There is no '{path}'.")
        if isinstance(found, RefusedShare):
            raise found.error
        if path.names_folder and not found.is_folder:
            raise NotFoundError(f"'{path}' is a file, not a folder.")
        if isinstance(found, TreeNode) and found.above is None:
            raise NotAllowedError(
                f"'{path}' is shared with you; only its owner can remove it.",
                hint=f"'fsclient leave {path.argument}' takes it out of your sight.",
            )
        if found.is_folder and not self._recursive:
            raise UsageError(f"'{path}' is a folder.", hint="Give -r to remove it whole.")
        if isinstance(found, RefusedEntry):
            changes.remove_refused(found)
        else:
            changes.remove(folder.keyed, found)


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
            hint=f"'fsclient ls {path.argument}' shows them; all others are removed by name.",
        )
    if len(entries) > 1:
        ids = ", ".join(one.id for one in entries)
        raise UsageError(f"Several entries of '{path}' have an id that starts so: {ids}.")
    changes = Committer(tree)
    changes.remove_refused(entries[0])
    changes.commit()
    return f"{entries[0].id} from {path}"
