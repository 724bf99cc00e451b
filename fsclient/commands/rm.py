"""`fsclient rm`."""

from __future__ import annotations

import click

from fsclient.app import App


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="REMOTE…")
@click.option("-r", "recursive", is_flag=True, help="Remove folders with everything in them.")
@click.option("-f", "force", is_flag=True, help="It is no error if something is not there.")
@click.pass_obj
def command(app: App, paths: tuple[str, ...], *, recursive: bool, force: bool) -> None:
    """Remove files, or folders with -r. What is removed cannot be brought back."""
    from fsclient.changes import Changes
    from fsproto.errors import NotAllowedError, NotFoundError, UsageError
    from fsproto.names import parse_path

    removed = []
    with app.session() as session:
        for path in [parse_path(path) for path in paths]:
            try:
                found = session.tree.find(path)
            except NotFoundError:
                if force:
                    continue
                raise
            if not path.parts:
                raise NotAllowedError("The top of your tree cannot be removed.")
            if found.is_folder and not recursive:
                raise UsageError(f"'{path}' is a folder.", hint="Give -r to remove it whole.")
            changes = Changes(session.tree)
            changes.remove(session.tree.find(path.parent).keyed, found)
            changes.commit()
            removed.append(str(path))
            app.ui.say(f"removed {path}")
    app.ui.result_of(removed=removed)
