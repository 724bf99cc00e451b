"""`fsclient put`."""

from __future__ import annotations

import click

from fsclient.app import App


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="LOCAL… [REMOTE]")
@click.pass_obj
def command(app: App, paths: tuple[str, ...]) -> None:
    """Seal local files and folders here and send them.

    With one path it goes to the top of your tree under its own name. With several, the last one
    is where they go: into it if it is a folder or ends in '/', else under that name. Folders go
    whole and are merged with what is there; a file that is there gets a new version. '-' reads
    standard input. Missing folders on the way are made. A whole file arrives, or nothing of it.
    """
    from fsclient.transfer.failures import Failures
    from fsclient.transfer.progress import Progress
    from fsclient.transfer.put import Put
    from fsproto.names import parse_path

    sources, target = (paths[:-1], paths[-1]) if len(paths) > 1 else (paths, "/")
    place, failures = parse_path(target), Failures(app.ui)
    with app.session() as session, Progress(app.ui, "put") as progress:
        Put(session, progress, failures).run(sources, place)
    app.ui.result_of(files=progress.files, bytes=progress.bytes)
    progress.tell()
    failures.raise_if_any()
