"""`fsclient keys rotate`."""

from __future__ import annotations

import click

from fsclient.app import App


@click.command(short_help="Replace your keys by new ones, signed by the old.")
@click.pass_obj
def rotate(app: App) -> None:
    """Replace your keys. The old keys sign the new ones, so others accept them as yours.

    Use it now and then, or when your keys may have been stolen. What is sealed to the old keys
    stays readable here. People who share with you seal to the new keys when they next look at
    their shares. Your other sessions end. Copy the new keys to your other machines ('fsclient
    keys export' and 'import') and make a new backup.
    """
    from fsclient.session.key_rotation import rotate as replace_keys

    with app.session() as session:
        new = replace_keys(session, app.profile, app.keeper().passphrase)
    app.drop_session()
    app.forget_keeper()
    shown = new.bundle.fingerprint
    app.ui.say("You have new keys. Make a new backup of them: fsclient keys backup")
    app.ui.result({"user": new.user, "fingerprint": shown}, f"fingerprint {shown}")
