"""`fsclient sync`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.commands.options import Choices, choosing, progress_option, resuming
from fsclient.transfer.journal import Journals
from fsclient.transfer.options import TransferOptions
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.run import TransferRun
from fsclient.transfer.sync import Sync, which_way

EXAMPLES = """\b
Examples:
  fsclient sync photos safe/photos               the remote like the local one
  fsclient sync -n --delete photos safe/photos   what would that do?
  fsclient sync --down photos safe/photos        the local like the remote one
  fsclient sync alice:safe/photos photos         the same, if you are alice
"""


@click.command(epilog=EXAMPLES)
@click.argument("local", metavar="LOCAL")
@click.argument("remote", metavar="REMOTE")
@click.option("--down", is_flag=True, help="Make LOCAL like REMOTE.")
@click.option("--delete", is_flag=True, help="Remove what the source does not have.")
@click.option(
    "--checksum", is_flag=True, help="Compare contents even where size and time are the same."
)
@choosing
@resuming
@progress_option
@click.pass_obj
def command(
    app: App,
    local: str,
    remote: str,
    *,
    down: bool,
    delete: bool,
    checksum: bool,
    choices: Choices,
    no_resume: bool,
    progress_wanted: str,
) -> None:
    """Make the remote folder REMOTE equal to the local folder LOCAL, sending only differences.

    REMOTE is created if missing. With --down, or if the first path names an owner
    ('alice:docs') and the second does not, LOCAL is made equal to REMOTE. Write a local name
    that contains ':' as './a:b'.

    Files of the same size, time and mode are skipped. If only time or mode differ, the content
    is compared on this machine by its salted hash; equal content is not sent. Times of folders,
    the execute bit and symbolic links are kept.

    --delete removes what the source does not have, after everything else has succeeded; if
    anything failed, nothing is removed. Only then does a file replace a folder, or a folder a
    file. Excluded files are never removed.

    After a lost connection, the command reconnects. Run an interrupted sync again to resume it:
    large files continue where they stopped, as with 'put' and 'get'. '--no-resume' turns both
    off.
    """
    way = which_way(local, remote, down=down)
    failures, actions = Failures(app.ui), choices.actions(app.ui)
    rules = TransferOptions(choices.excludes(), mirror=True, delete=delete, checksum=checksum)
    verb, done = ("get", "got") if way.down else ("put", "put")
    with (
        app.transfer(resume=not no_resume) as session,
        Progress(app.ui, verb, done, progress_wanted) as progress,
    ):
        journals = Journals(app.profile.folder / "transfers", session, keep=not no_resume)
        used = session if way.down else session.caching()
        job = Sync(TransferRun(used, progress, failures, actions, rules, journals))
        where = job.down(way) if way.down else job.up(way)
    if not choices.dry_run:
        progress.tell(where, failed=len(failures))
    actions.tell()
    app.ui.result_of(
        direction="down" if way.down else "up",
        **progress.totals(),
        **actions.result(),
        left_out=failures.left_out,
        failed=failures.data,
    )
    failures.raise_if_any()
