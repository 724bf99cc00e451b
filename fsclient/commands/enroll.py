"""`fsclient enroll LINK`."""

from __future__ import annotations

import contextlib

import click

from fsclient.app import App


@click.command()
@click.argument("link")
@click.option("--no-passphrase", is_flag=True, help="Keep the identity without a passphrase.")
@click.pass_obj
def command(app: App, link: str, *, no_passphrase: bool) -> None:
    """Make your identity here and register its public half with a server.

    LINK is what your administrator gave you: fs://NAME@HOST:PORT/?host-key=SHA256:… . Asks for
    the one-time password your authenticator app shows, and for a passphrase to keep the identity
    under (FSCLIENT_PASSPHRASE or --no-passphrase for scripts). The private keys never leave this
    machine.
    """
    from fsproto.link import parse_link

    app.options.no_passphrase = no_passphrase
    parsed = parse_link(link)
    with contextlib.closing(app.keeper().enroll(parsed)) as session:
        shown = session.identity.bundle.fingerprint
    app.ui.say(f"{parsed.user} is enrolled at {parsed.address}; your keys are in "
               f"{app.profile.folder}.")  # fmt: skip
    app.ui.result(
        {"user": parsed.user, "server": str(parsed.address), "fingerprint": shown},
        f"fingerprint {shown}",
    )
