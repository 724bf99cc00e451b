"""`fsclient mv`."""

from __future__ import annotations

import click

from fsclient.app import App


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="REMOTE… REMOTE")
@click.option("-f", "force", is_flag=True, help="Replace a file that is in the way.")
@click.pass_obj
def command(app: App, paths: tuple[str, ...], *, force: bool) -> None:
    """Move or rename files and folders.

    The last path is where they go: into it if it is a folder or ends in '/', else under that
    name. A file in the way is replaced only with -f, a folder never. Content is not sent again.
    """
    from fsclient.changes import Changes
    from fsclient.tree import Located, must_be_folder
    from fsproto.errors import ExistsError, NotAllowedError, NotFoundError, UsageError
    from fsproto.names import parse_path

    if len(paths) < 2:  # noqa: PLR2004 - what and where to
        raise UsageError("What is to be moved, and where to? fsclient mv OLD NEW")
    *sources, target = [parse_path(path) for path in paths]
    with app.session() as session:
        tree = session.tree
        reached = tree.reach(target)
        there = len(reached[-1].path.parts) == len(target.parts)
        into = len(sources) > 1 or target.names_folder or (there and reached[-1].is_folder)
        folder = tree.find(target if into else target.parent)
        must_be_folder(folder)
        for source in sources:
            way = tree.reach(source)
            found = tree.find(source)
            if not source.parts:
                raise NotAllowedError("The top of your tree cannot be moved.")
            name = found.metadata.name if into else target.name
            if found.is_folder and folder.path.parts[: len(source.parts)] == source.parts:
                raise NotAllowedError("A folder cannot be moved into itself.")
            replaced: Located | None = tree.look(folder, [name])[name]
            if replaced is not None and replaced.keyed.node == found.keyed.node:
                continue
            if replaced is not None and (not force or replaced.is_folder or found.is_folder):
                raise ExistsError(
                    f"There is a '{replaced.path}' already.",
                    hint=None if replaced.is_folder else "Give -f to replace it.",
                )
            if len(way) < 2:  # noqa: PLR2004 - its folder and itself
                raise NotFoundError(f"There is no '{source}'.")
            changes = Changes(tree)
            changes.move(found, way[-2].keyed, folder.keyed, name, replaced)
            changes.commit()
            app.ui.say(f"moved {found.path} to {folder.path.child(name)}")
    app.ui.result_of(moved=[str(source) for source in sources])
