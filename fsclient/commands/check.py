"""`fsclient check`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.commands.filtering import filtering
from fsclient.commands.options import progress_option
from fsclient.transfer.check import Finding, FolderCheck
from fsclient.transfer.filters import Filters
from fsclient.transfer.options import TransferOptions
from fsclient.transfer.report.actions import Actions
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.run import TransferRun
from fsclient.transfer.sync import which_way
from fskit.text import count_text, took_text
from fsproto.errors import ConflictError

EXAMPLES = """\b
Examples:
  fsclient check photos safe/photos             are both alike?
  fsclient check --one-way photos safe/photos   does the remote lack anything?
  fsclient check alice:photos photos            the other way round
"""


@click.command(epilog=EXAMPLES)
@click.argument("local", metavar="LOCAL")
@click.argument("remote", metavar="REMOTE")
@click.option("--one-way", is_flag=True, help="The second folder may have more than the first.")
@filtering
@progress_option
@click.pass_obj
def command(
    app: App, local: str, remote: str, *, one_way: bool, filters: Filters, progress_wanted: str
) -> None:
    """Compare a local folder with a remote one, with their contents; change nothing.

    Reads all local files that both folders have in the same size. Their salted hashes are
    compared with the signed ones, so nothing is fetched. Times and the execute bit are not
    compared. Symbolic links are compared by their targets.

    Prints what is only local, only remote or different, each with its path. The exit status is 0
    if the folders are alike, else 8.
    """
    failures = Failures(app.ui)
    way = which_way(local, remote, down=False, base=app.base)
    with (
        app.transfer() as session,
        Progress(app.ui, "check", "checked", progress_wanted) as progress,
    ):
        actions = Actions(app.ui, dry_run=True)
        task = TransferRun(session.listing(), progress, failures, actions, TransferOptions(filters))
        check = FolderCheck(task)
        check.run(way, one_way=one_way)
    found = check.found
    width = max((len(one.finding) for one in found), default=0)
    app.ui.result(
        {
            "same": check.same,
            "only_local": [one.path for one in found if one.finding is Finding.ONLY_LOCAL],
            "only_remote": [one.path for one in found if one.finding is Finding.ONLY_REMOTE],
            "different": [
                {"path": one.path, "why": one.finding.removeprefix("other ")}
                for one in found
                if one.finding in _BOTH
            ],
            "excluded": actions.excluded,
            "seconds": round(progress.seconds, 3),
            "left_out": failures.left_out,
            "failed": failures.data,
        },
        [f"{one.finding:<{width}}  {one.path}" for one in found],
    )
    counts = [f"{count_text(check.same, 'file')} alike"]
    counts += [count_text(len(found), "difference")] if found else []
    counts += [f"{len(failures)} failed"] if failures else []
    app.ui.say(", ".join(filter(None, [*counts, took_text(progress.bytes, progress.seconds)])))
    failures.raise_if_any()
    if found:
        raise SystemExit(ConflictError.exit_status)


_BOTH = (Finding.KIND, Finding.SIZE, Finding.CONTENT)
