"""`fsclient whoami`."""

from __future__ import annotations

import click

from fsclient.app import App


@click.command()
@click.pass_obj
def command(app: App) -> None:
    """Show your user name, the server, and the fingerprints of both.

    This needs no connection to the server. If your keys have a passphrase, it asks for it.
    """
    facts = app.profile.facts()
    shown = app.keeper().identity().bundle.fingerprint
    link = facts.link
    app.ui.result(
        {
            "user": link.user,
            "server": str(link.address),
            "fingerprint": shown,
            "host_key": link.host_key,
            "profile": app.profile.name,
        },
        [
            f"user         {link.user}",
            f"fingerprint  {shown}",
            f"server       {link.address}",
            f"host key     {link.host_key}",
            f"profile      {app.profile.name} ({app.profile.folder})",
        ],
    )
