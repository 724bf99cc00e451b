"""`fsclient keys republish`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.session.republish import republish as give_again
from fskit.text import count_text


@click.command(short_help="Give a restored server your newer keys again.")
@click.option(
    "--enroll", "enrols", is_flag=True, help="The backup is older than your enrolment: enrol again."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_obj
def republish(app: App, *, enrols: bool, yes: bool) -> None:
    """Give the server your newer keys again, after it was restored from an older backup.

    If you replaced your keys after that backup, the restored server refuses your login. This
    command logs in with the former keys that the server has, and has them sign your newer ones
    again. People who know your newer keys need not compare them again.

    With --enroll, the server has none of your keys: you enrolled after the backup. The command
    enrols again with the keys of this device and starts an empty tree.

    Then compare the tree ('fsclient doctor /') and sign what you share with your newer keys
    ('fsclient shares').

    The server's older key log replaces the key log that this device has seen. So use this command
    only after your administrator has announced the restore over another channel than this server.
    It asks for two one-time passwords, one after the other; with --enroll for one.
    """
    keeper = app.keeper()
    keeper.identity()
    app.ui.confirm(
        "Was the server restored from a backup? Accept its older key log and give it your keys?",
        yes=yes,
    )
    app.drop_session()
    done = give_again(keeper, app.with_code, enrols=enrols)
    fingerprint = keeper.identity().bundle.fingerprint
    app.ui.say(
        f"The server has your newest keys again ({count_text(done, 'registration')})."
        if done
        else "The server has your newest keys already."
    )
    app.ui.say("Next: fsclient doctor /; when that has accepted the tree: fsclient shares")
    data = {"user": keeper.identity().user, "fingerprint": fingerprint, "registered": done}
    app.ui.result(data, f"fingerprint {fingerprint}")
