"""`fsclient mkdir`."""

from __future__ import annotations

import click

from fsclient.app import App


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="REMOTE…")
@click.option("-p", "parents", is_flag=True, help="It is no error if the folder is there already.")
@click.pass_obj
def command(app: App, paths: tuple[str, ...], *, parents: bool) -> None:
    """Make folders; those above them are made as well where they are missing."""
    from fsclient.transfer.put import ensure_folder
    from fsproto.errors import ExistsError
    from fsproto.names import parse_path

    with app.session() as session:
        for path in [parse_path(path) for path in paths]:
            there = len(session.tree.reach(path)[-1].path.parts) == len(path.parts)
            if there and not parents:
                raise ExistsError(f"There is a '{path}' already.")
            ensure_folder(session, path)
            app.ui.say(f"made {path}/")
    app.ui.result_of(made=[*paths])
