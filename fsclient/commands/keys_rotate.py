"""`fsclient keys rotate`."""

from __future__ import annotations

import click

from fsclient.app import App


@click.command(short_help="Replace your keys by new ones, signed by the old.")
@click.pass_obj
def rotate(app: App) -> None:
    """Replace your keys by new ones that the old ones sign, so that others take them for yours.

    For when somebody may have got at your keys, or now and then. What is sealed to the old keys
    can still be opened here; those who share with you seal anew to the new ones when they next
    look at their shares. Your other sessions end. Other machines of yours need the new keys
    ('fsclient keys export' and 'import'), and a backup has to be made anew.
    """
    from fsclient.session.key_rotation import rotate as replace_keys

    with app.session() as session:
        new = replace_keys(session, app.profile, app.keeper().passphrase)
    app.drop_session()
    app.forget_keeper()
    shown = new.bundle.fingerprint
    app.ui.say("You have new keys. Make a new backup of them: fsclient keys backup")
    app.ui.result({"user": new.user, "fingerprint": shown}, f"fingerprint {shown}")
