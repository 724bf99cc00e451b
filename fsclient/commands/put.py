"""`fsclient put`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.commands.options import progress_option

EXAMPLES = """\b
Examples:
  fsclient put report.pdf                  at the top of your tree
  fsclient put report.pdf q3.pdf           under another name
  fsclient put *.jpg notes/ photos/2026/   several things into a folder
  pg_dump shop | fsclient put - shop.sql   what comes through a pipe
"""


@click.command(epilog=EXAMPLES)
@click.argument("paths", nargs=-1, required=True, metavar="LOCAL… [REMOTE]")
@progress_option
@click.pass_obj
def command(app: App, paths: tuple[str, ...], progress_wanted: str) -> None:
    """Seal local files and folders here and send them.

    With one path it goes to the top of your tree under its own name. With more, the last one is
    where the others go: into it if it is a folder or ends in '/', else, if there is one other,
    under that name. '-' is standard input.

    Folders go whole and are merged with what is there. A file that is there gets a new version.
    Missing folders on the way are made. Symbolic links inside folders are left out, with a
    warning. A whole file arrives, or nothing of it; if some fail, the others go on.
    """
    from fsclient.transfer.failures import Failures
    from fsclient.transfer.progress import Progress
    from fsclient.transfer.put import STDIN, Put
    from fsproto.names import parse_path

    sources, target = (paths[:-1], paths[-1]) if len(paths) > 1 else (paths, "/")
    place, failures = parse_path(target), Failures(app.ui)
    if STDIN in sources:
        app.ui.announce_typing()
    with app.session() as session, Progress(app.ui, "put", "put", progress_wanted) as progress:
        where = Put(session, progress, failures).run(sources, place)
    progress.tell(where, failed=len(failures))
    app.ui.result_of(
        **progress.totals(),
        left_out=failures.left_out,
        failed=failures.data,
    )
    failures.raise_if_any()
