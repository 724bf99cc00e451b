"""`fsclient get`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.commands.options import (
    Choices,
    choosing,
    jobs_option,
    older,
    progress_option,
    resuming,
    update,
)
from fsclient.operations.wildcards import expanded
from fsclient.transfer.get import STDOUT, Get, to_stdout
from fsclient.transfer.options import TransferOptions
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.resume import ResumeMarker
from fsclient.transfer.run import TransferRun
from fsproto.links.url_grammar import is_url

EXAMPLES = """\b
Examples:
  fsclient get reports/q3.pdf              into the current folder
  fsclient get reports/q3.pdf new.pdf      under another name
  fsclient get photos notes.txt backup/    several things into a folder
  fsclient get 'photos/*.jpg' backup/      all that match
  fsclient get -u photos .                 a folder, without unchanged files
  fsclient get / everything                your whole tree
  fsclient get 'https://HOST/l#…'          what a public link opens
  fsclient get --version 3 notes.txt old   as 'fsclient history' numbers them
"""


@click.command(epilog=EXAMPLES)
@click.argument("paths", nargs=-1, required=True, metavar="REMOTE… [LOCAL]")
@older
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
    version: int | None,
    update: bool,
    choices: Choices,
    no_resume: bool,
    jobs: int,
    progress_wanted: str,
) -> None:
    """Get files and folders and open them here.

    A public link (https://HOST/l#…, in quotes) in place of REMOTE needs no account. Its files are
    verified like your own; the password, if it has one, is asked, or taken from
    FSCLIENT_LINK_PASSWORD.

    With one path, the file or folder goes into the current folder under its own name. With
    more, the last path is the target: the others go into it if it is a folder or ends in '/'; a
    single one gets that name. '-' is standard output.

    Folders are copied whole and merged with local ones; 'sync --down' also removes local files
    that are missing at the server. Times, the execute bit and symbolic links are kept. A local
    file is replaced only after all of the new one was verified. If some files fail, the others
    continue. Symbolic links are followed only in the path that you name: a link inside the
    local folder is replaced by a file of its name, and is an error where a folder must go.

    Filters (--include and others) are also for files that you name. A folder in which they leave
    no file is not created.

    After a lost connection, the command reconnects. Run an interrupted command again within a
    day, in the same folder, to resume it: finished files are skipped, and partial files of 4
    MiB or more are kept next to the target under a hidden name ('.NAME.….fs-part').
    '--no-resume' turns both off.
    """
    if any(is_url(path) for path in paths):
        from fsclient.commands.get_link import get_link

        get_link(
            app,
            paths,
            choices,
            update=update,
            resume=not no_resume,
            progress_wanted=progress_wanted,
            others=version is not None or jobs != 1 or choices.bandwidth is not None,
        )
        return
    sources, target = (paths[:-1], paths[-1]) if len(paths) > 1 else (paths, ".")
    wanted = [app.path(source) for source in sources]
    stdout = target == STDOUT and not choices.dry_run
    if stdout:
        app.content_goes_to_stdout()
    failures, actions = Failures(app.ui), choices.actions(app.ui)
    unfinished = ResumeMarker(app.profile.folder / "unfinished", "get", paths)
    if no_resume:
        unfinished.end()
    rules = TransferOptions(choices.filters, update=update, since_ns=unfinished.since_ns)
    with (
        app.transfer(resume=not no_resume, bandwidth=choices.bandwidth) as session,
        app.movers(jobs) as movers,
        Progress(app.ui, "get", "got", progress_wanted) as progress,
    ):
        places = expanded(session.tree, wanted, failures)
        if stdout:
            where = to_stdout(session, places, progress, failures, version)
        else:
            task = TransferRun(
                session, progress, failures, actions, rules, unfinished=unfinished, movers=movers
            )
            where = Get(task, version).run(places, target)
    if not choices.dry_run and not failures:
        unfinished.end()
    choices.tell(app.ui, progress, actions, failures, where)
