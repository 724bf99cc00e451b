"""`fsclient enroll LINK`."""

from __future__ import annotations

import contextlib

import click

from fsclient.app import App
from fsclient.commands.device import device_option
from fsclient.commands.replacing import replacing
from fsproto.link import parse_link

LINK = """\b
A link looks like this; put it in quotes:
  fs://NAME@HOST:PORT/?host-key=SHA256:…
"""


@click.command(epilog=LINK)
@click.argument("link")
@click.option("--no-passphrase", is_flag=True, help="Keep the identity without a passphrase.")
@device_option
@click.pass_obj
@replacing
def command(app: App, /, link: str, *, no_passphrase: bool, device: str | None) -> None:
    """Create your keys on this machine and register the public half with a server.

    Your administrator gives you LINK. The command asks for a passphrase for your keys (in
    scripts: FSCLIENT_PASSPHRASE or --no-passphrase) and for the one-time password that your
    authenticator app shows. The private keys never leave this machine. If it is interrupted,
    run it again with the same link.

    With --replace, a profile of this name is renamed first; its keys are kept.
    """
    app.options.no_passphrase, app.options.device = no_passphrase, device
    parsed = parse_link(link)
    with contextlib.closing(app.first_login().enroll(parsed)) as session:
        shown = session.identity.bundle.fingerprint
    app.keep_choices()
    app.ui.say(f"{parsed.user} is enrolled at {parsed.address}; your keys are in "
               f"{app.profile.folder}.")  # fmt: skip
    app.ui.say(
        "Next: 'fsclient keys backup', in case this machine is lost, and 'fsclient "
        "recovery-codes', in case your phone is."
    )
    app.ui.result(
        {"user": parsed.user, "server": str(parsed.address), "fingerprint": shown},
        f"fingerprint {shown}",
    )
