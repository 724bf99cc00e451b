"""`fsclient get`."""

from __future__ import annotations

import click

from fsclient.app import App

EXAMPLES = """\b
Examples:
  fsclient get reports/q3.pdf              into the current folder
  fsclient get reports/q3.pdf new.pdf      under another name
  fsclient get photos notes.txt backup/    several things into a folder
  fsclient get / everything                your whole tree
"""


@click.command(epilog=EXAMPLES)
@click.argument("paths", nargs=-1, required=True, metavar="REMOTE… [LOCAL]")
@click.option("--no-resume", is_flag=True, help="Begin anew, and end when the connection does.")
@click.pass_obj
def command(app: App, paths: tuple[str, ...], *, no_resume: bool) -> None:
    """Get files and folders and open them here.

    With one path it comes into the current folder under its own name. With more, the last one is
    where the others go: into it if it is a folder or ends in '/', else, if there is one other,
    under that name. '-' is standard output.

    Folders come whole and are merged with what is there. A local file is replaced only when all
    of the new one was verified; if some fail, the others go on.

    A lost connection is made anew. What was interrupted all the same goes on where it stopped, by
    itself, when the same command is given again: of files of 4 MiB and more, what came is kept
    beside the target under a hidden name ('.NAME.….fs-part'). '--no-resume' does neither.
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
    with app.transfer(resume=not no_resume) as session, Progress(app.ui, "get", "got") as progress:
        job = Get(session, progress, failures)
        where = job.to_stdout(places) if target == STDOUT else job.run(places, target)
    progress.tell(where, failed=len(failures))
    app.ui.result_of(
        files=progress.files,
        folders=progress.folders,
        bytes=progress.bytes,
        failed=failures.data,
    )
    failures.raise_if_any()
