"""`fsclient restore`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.commands.options import older
from fsclient.operations.restore import RestoreOperation
from fsproto.names import parse_path

EXAMPLES = """\b
Examples:
  fsclient restore notes.txt                 a file that was removed
  fsclient restore notes.txt --version 3     that version, as the newest
  fsclient restore notes.txt --as notes-2    where there is a notes.txt now
"""


@click.command(epilog=EXAMPLES)
@click.argument("path", metavar="REMOTE")
@older
@click.option("--as", "target", metavar="REMOTE", help="Bring it back under another name.")
@click.option("--id", "chosen", default="", metavar="ID", help="Which one, of several removed.")
@click.pass_obj
def command(app: App, path: str, *, version: int | None, target: str | None, chosen: str) -> None:
    """Bring back an older version of a file, or a removed file or folder.

    A file gets the content, time and mode of the older version as its newest version; its
    history stays. A removed file or folder comes back with its history and content. No content
    is sent. What comes back is shared only with the people who can see its folder.

    A file or folder that 'ls' reports because it does not verify gets back the keys and the name
    of the last version that does. A folder keeps everything in it.
    """
    place = parse_path(target) if target is not None else None
    with app.session() as session:
        done = RestoreOperation(session, app.ui).run(parse_path(path), version, place, chosen)
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
