"""`fsclient put`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.commands.options import (
    Choices,
    choosing,
    jobs_option,
    progress_option,
    resuming,
    update,
)
from fsclient.transfer.journal import Journals
from fsclient.transfer.options import TransferOptions
from fsclient.transfer.put import STDIN, Put
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.resume import ResumeMarker
from fsclient.transfer.run import TransferRun

EXAMPLES = """\b
Examples:
  fsclient put report.pdf                  at the top of your tree
  fsclient put report.pdf q3.pdf           under another name
  fsclient put *.jpg notes/ photos/2026/   several things into a folder
  fsclient put -u --exclude '*.o' src      a folder, without unchanged files
  fsclient put --newer-than 7d --include '*.jpg' photos
  pg_dump shop | fsclient put - shop.sql   standard input
"""


@click.command(epilog=EXAMPLES)
@click.argument("paths", nargs=-1, required=True, metavar="LOCAL… [REMOTE]")
@update
@choosing
@resuming
@jobs_option
@progress_option
@click.pass_obj
def command(
    app: App,
    paths: tuple[str, ...],
    *,
    update: bool,
    choices: Choices,
    no_resume: bool,
    jobs: int,
    progress_wanted: str,
) -> None:
    """Seal local files and folders here and send them.

    With one path, the file or folder goes to the top of your tree under its own name. With
    more, the last path is the target: the others go into it if it is a folder or ends in '/'; a
    single one gets that name. '-' is standard input.

    Folders are copied whole and merged with remote ones; 'sync --delete' also removes remote
    files that are missing here. An existing file gets a new version. Missing remote folders are
    created. Times, the execute bit and symbolic links inside folders are kept; a link that you
    name is followed. A file arrives whole or not at all. If some files fail, the others
    continue.

    Filters (--include and others) are also for files that you name. A folder in which they leave
    no file is not created.

    After a lost connection, the command reconnects. Run an interrupted command again within a
    day, in the same folder, to resume it: finished files are skipped, and unchanged files of 4
    MiB or more continue where they stopped. '--no-resume' turns both off.
    """
    sources, target = (paths[:-1], paths[-1]) if len(paths) > 1 else (paths, ".")
    place, failures, actions = app.path(target), Failures(app.ui), choices.actions(app.ui)
    unfinished = ResumeMarker(app.profile.folder / "unfinished", "put", paths)
    if no_resume:
        unfinished.end()
    rules = TransferOptions(choices.filters, update=update, since_ns=unfinished.since_ns)
    if STDIN in sources and not choices.dry_run:
        app.ui.announce_typing()
    with (
        app.transfer(resume=not no_resume, bandwidth=choices.bandwidth) as session,
        app.movers(jobs) as movers,
        Progress(app.ui, "put", "put", progress_wanted) as progress,
    ):
        journals = Journals(app.profile.transfers, session, keep=not no_resume)
        task = TransferRun(
            session.caching(),
            progress,
            failures,
            actions,
            rules,
            journals,
            unfinished,
            movers=movers,
        )
        where = Put(task).run(sources, place)
    if not choices.dry_run and not failures:
        unfinished.end()
    choices.tell(app.ui, progress, actions, failures, where)
