"""`fsclient enroll LINK`."""

from __future__ import annotations

import contextlib

import click

from fsclient.app import App
from fsproto.link import parse_link

LINK = """\b
A link looks like this; put it in quotes:
  fs://NAME@HOST:PORT/?host-key=SHA256:…
"""


@click.command(epilog=LINK)
@click.argument("link")
@click.option("--no-passphrase", is_flag=True, help="Keep the identity without a passphrase.")
@click.pass_obj
def command(app: App, link: str, *, no_passphrase: bool) -> None:
    """Create your keys on this machine and register the public half with a server.

    Your administrator gives you LINK. The command asks for a passphrase for your keys (in
    scripts: FSCLIENT_PASSPHRASE or --no-passphrase) and for the one-time password that your
    authenticator app shows. The private keys never leave this machine. If it is interrupted,
    run it again with the same link.
    """
    app.options.no_passphrase = no_passphrase
    parsed = parse_link(link)
    with contextlib.closing(app.keeper().enroll(parsed)) as session:
        shown = session.identity.bundle.fingerprint
    app.keep_via()
    app.ui.say(f"{parsed.user} is enrolled at {parsed.address}; your keys are in "
               f"{app.profile.folder}.")  # fmt: skip
    app.ui.result(
        {"user": parsed.user, "server": str(parsed.address), "fingerprint": shown},
        f"fingerprint {shown}",
    )
