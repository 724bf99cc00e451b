"""`fsclient restore`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.commands.options import older
from fsclient.operations.removed_elsewhere import RemovedElsewhere
from fsclient.operations.restore import RestoreOperation
from fsclient.transfer.report.failures import Failures

EXAMPLES = """\b
Examples:
  fsclient restore notes.txt                 a file removed from any folder
  fsclient restore notes.txt --version 3     that version, as the newest
  fsclient restore notes.txt --as notes-2    where there is a notes.txt now
"""


@click.command(epilog=EXAMPLES)
@click.argument("path", metavar="REMOTE")
@older
@click.option("--as", "target", metavar="REMOTE", help="Restore it under another name.")
@click.option(
    "--id",
    "chosen",
    default="",
    metavar="ID",
    help="Choose one of several by its id.",
)
@click.pass_obj
def command(app: App, path: str, *, version: int | None, target: str | None, chosen: str) -> None:
    """Bring back an older version of a file, or a removed file or folder.

    A file gets the content, time and mode of the older version as its newest version; its
    history stays. A removed file or folder comes back with its history and content. No content
    is sent. After that, only the people with access to its folder can see it.

    If nothing of that name was removed from there, all folders are searched. On a terminal the
    command asks whether to restore what it has found; else the error names it.

    A file or folder that 'ls' reports because it does not verify gets back the keys and the name
    of the last version that does. A folder keeps everything in it.
    """
    failures = Failures(app.ui)
    place = app.path(target) if target is not None else None
    with app.session() as session:
        elsewhere = RemovedElsewhere(session, app.ui, failures)
        restoring = RestoreOperation(session, app.ui, elsewhere.choose)
        done = restoring.run(app.path(path), version, place, chosen)
    from_version = "" if done.version is None else f" as of version {done.version}"
    if not done.changed:
        app.ui.say(f"{done.path} is as in version {done.version} already")
    elif done.was_removed:
        app.ui.say(f"brought back {done.path}{from_version}")
    else:
        app.ui.say(f"{done.path} is{from_version} again")
    app.ui.result_of(
        path=str(done.path),
        version=done.version,
        was_removed=done.was_removed,
        changed=done.changed,
    )
    failures.raise_if_any()
