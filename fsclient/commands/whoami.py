"""`fsclient whoami`."""

from __future__ import annotations

import click

from fsclient.app import App


@click.command()
@click.pass_obj
def command(app: App) -> None:
    """Show who you are here: user, server, and the fingerprints of both.

    Does not ask the server, but for the passphrase of the identity if it has one.
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
