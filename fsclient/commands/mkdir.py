"""`fsclient mkdir`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.transfer.put import ensure_folder
from fsclient.transfer.report.failures import Failures
from fsclient.tree.nodes import must_be_folder
from fsproto.errors import ExistsError, FsError


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="REMOTE…")
@click.option("-p", "parents", is_flag=True, help="No error if the folder exists.")
@click.pass_obj
def command(app: App, paths: tuple[str, ...], *, parents: bool) -> None:
    """Create folders, with the missing folders above them."""
    failures, made = Failures(app.ui), []
    with app.session() as session:
        for path in map(app.path, paths):
            try:
                found = session.tree.reach(path)[-1]
                if len(found.path.parts) == len(path.parts):
                    if not parents:
                        raise ExistsError(f"'{found.path}' exists already.")
                    must_be_folder(found)
                    continue
                ensure_folder(session, path)
            except FsError as error:
                failures.note(error)
                continue
            made.append(str(path))
            app.ui.say(f"made {path}/")
    app.ui.result_of(made=made, failed=failures.data)
    failures.raise_if_any()
