"""`fsclient cat`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.commands.options import older
from fsclient.operations.wildcards import expanded
from fsclient.transfer.get import to_stdout
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="REMOTE…")
@older
@click.pass_obj
def command(app: App, paths: tuple[str, ...], *, version: int | None) -> None:
    """Write files to standard output, one after the other; of a symbolic link, its target.

    Each piece is verified before it is written. A file that was cut short is noticed only at
    its end: check the exit status before you use the output.
    """
    app.content_goes_to_stdout()
    failures = Failures(app.ui)
    with app.transfer() as session, Progress(app.ui, "get", "got") as progress:
        places = expanded(session.tree, map(app.path, paths), failures)
        to_stdout(session, places, progress, failures, version)
    failures.raise_if_any()
