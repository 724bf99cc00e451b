"""`fsclient leave`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsproto.errors import UsageError
from fsproto.messages.base import Done
from fsproto.messages.shares import Leave


@click.command()
@click.argument("path", metavar="OWNER:NAME")
@click.pass_obj
def command(app: App, path: str) -> None:
    """Leave a share: remove a file or folder that another user shares with you from your view.

    Only its owner can share it with you again. Files that you put there stay.
    """
    place = app.path(path)
    if place.owner is None or len(place.parts) != 1:
        raise UsageError(
            "Give the path as 'fsclient shares' shows it: fsclient leave alice:reports"
        )
    with app.session() as session:
        found = session.tree.find(place)
        session.connection.call(Leave(found.keyed.node), Done)
        session.tree.shared.forget()
    app.ui.say(f"You have left '{place}'.")
    app.ui.result_of(left=str(place))
