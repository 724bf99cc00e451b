"""`fsclient keys rotate`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import click

from fsclient.app import App
from fsclient.operations.rekey import Rekey
from fsclient.requests.own import requests_of
from fsclient.session.key_rotation import rotate as replace_keys
from fsclient.session.session import Session
from fsclient.sharing.rotation import RotationWithShares
from fsclient.sharing.share import Sharing
from fsclient.transfer.report.failures import Failures
from fskit.text import count_text
from fsproto.errors import RemoteProtocolError
from fsproto.keys.identity import Identity


@click.command(short_help="Replace your keys by new ones, signed by the old.")
@click.option("--now", is_flag=True, help="Give new keys to all your files and folders at once.")
@click.pass_obj
def rotate(app: App, *, now: bool) -> None:
    """Replace your keys. The old keys sign the new ones, so others accept them as yours.

    Use it from time to time, or with --now if your keys may have been stolen. The old keys can no
    longer log in. The top of your tree and everything that you share take new keys, too. Every
    other file and folder takes a new key when you next change it. Until then, a thief of the old
    keys with access to the server can read it, and can change it for devices that have not looked
    there since. With --now, everything takes new keys at once. That takes time in a large tree
    and can be interrupted: run the command again to resume. A thief may have copied everything
    that the old keys could read.

    The command asks for a one-time password. Your other sessions end. People who share with you
    renew their shares with the next command that they give. Copy the new keys to your other
    machines ('fsclient keys export' and 'import') and make a new backup. Your request links end:
    their URLs name the old keys. Your public links stay.
    """
    keeper, ended = app.keeper(), 0
    identity = keeper.identity(typed=True)
    resumes = now and app.profile.is_renewing(identity.bundle.fingerprint)
    if resumes:
        app.ui.say("Your keys were replaced already; the renewal of your tree is resumed.")
    else:
        with app.session() as session:
            resumes = now and app.profile.is_renewing(session.identity.bundle.fingerprint)
            identity = session.identity
            if not resumes:
                ended = _open_request_links(session)

                def prepare(session: Session, new: Identity) -> Callable[[str], None]:
                    return RotationWithShares(app.ui.warn, session, new).register

                identity = replace_keys(
                    session, app.profile, keeper.passphrase, app.with_code, prepare, renews=now
                )
        app.drop_session()
        keeper.take(identity)
        app.ui.say("You have new keys. Make a new backup of them: fsclient keys backup")
        if ended:
            app.ui.say(
                f"{count_text(ended, 'request link')} ended, because the URL names the old keys: "
                "make new ones with 'fsclient request'."
            )
    renewed = 0
    with app.session(renews=False) as session:
        left = Sharing(session, app.ui).refresh()
        if now:
            rekey = Rekey(session.tree, lambda count: app.ui.say(f"{count:,} new keys so far …"))
            rekey.run(session.tree.root)
            app.profile.end_renewal()
            left, renewed = [*left, *rekey.left], rekey.done
            whole = "Your whole tree is" if not left else "What could be renewed is"
            app.ui.say(f"{whole} under new keys: {renewed:,} took one.")
    failures = Failures(app.ui)
    for one in left:
        failures.note(one.failure)
    if resumes:
        app.ui.say("Your keys themselves were not replaced this time; the command does that now.")
    shown = identity.bundle.fingerprint
    data = {
        "user": identity.user,
        "fingerprint": shown,
        "renewed": renewed,
        "ended_request_links": ended,
        "left": [one.data for one in left],
    }
    app.ui.result(data, f"fingerprint {shown}")
    failures.raise_if_any()


def _open_request_links(session: Session) -> int:
    """Return how many request links take files; 0 if the server does not list them as it must."""
    with suppress(RemoteProtocolError):
        return sum(one.why_closed is None for one in requests_of(session))
    return 0
