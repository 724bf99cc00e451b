"""`fsclient get`."""

from __future__ import annotations

import click

from fsclient.app import App


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="REMOTE… [LOCAL]")
@click.pass_obj
def command(app: App, paths: tuple[str, ...]) -> None:
    """Get files and folders and open them here.

    With one path it comes into the current folder under its own name. With several, the last one
    is where they go: into it if it is a folder or ends in '/', else under that name. '-' writes
    to standard output. A local file is replaced only when all of the new one was verified.
    """
    from fsclient.transfer.failures import Failures
    from fsclient.transfer.get import STDOUT, Get
    from fsclient.transfer.progress import Progress
    from fsproto.names import parse_path

    sources, target = (paths[:-1], paths[-1]) if len(paths) > 1 else (paths, ".")
    places, failures = [parse_path(source) for source in sources], Failures(app.ui)
    with app.session() as session, Progress(app.ui, "got") as progress:
        job = Get(session, progress, failures)
        if target == STDOUT:
            job.to_stdout(places)
        else:
            job.run(places, target)
    if target != STDOUT:
        app.ui.result_of(files=progress.files, bytes=progress.bytes)
        progress.tell()
    failures.raise_if_any()
