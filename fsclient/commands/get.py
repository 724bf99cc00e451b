"""`fsclient get`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.commands.options import progress_option

EXAMPLES = """\b
Examples:
  fsclient get reports/q3.pdf              into the current folder
  fsclient get reports/q3.pdf new.pdf      under another name
  fsclient get photos notes.txt backup/    several things into a folder
  fsclient get / everything                your whole tree
"""


@click.command(epilog=EXAMPLES)
@click.argument("paths", nargs=-1, required=True, metavar="REMOTE… [LOCAL]")
@progress_option
@click.pass_obj
def command(app: App, paths: tuple[str, ...], progress_wanted: str) -> None:
    """Get files and folders and open them here.

    With one path it comes into the current folder under its own name. With more, the last one is
    where the others go: into it if it is a folder or ends in '/', else, if there is one other,
    under that name. '-' is standard output.

    Folders come whole and are merged with what is there. A local file is replaced only when all
    of the new one was verified; if some fail, the others go on.
    """
    from fsclient.transfer.failures import Failures
    from fsclient.transfer.get import STDOUT, Get
    from fsclient.transfer.progress import Progress
    from fsproto.names import parse_path

    sources, target = (paths[:-1], paths[-1]) if len(paths) > 1 else (paths, ".")
    places = [parse_path(source) for source in sources]
    if target == STDOUT:
        app.content_goes_to_stdout()
    failures = Failures(app.ui)
    with app.session() as session, Progress(app.ui, "get", "got", progress_wanted) as progress:
        job = Get(session, progress, failures)
        where = job.to_stdout(places) if target == STDOUT else job.run(places, target)
    progress.tell(where, failed=len(failures))
    app.ui.result_of(
        **progress.totals(),
        failed=failures.data,
    )
    failures.raise_if_any()
