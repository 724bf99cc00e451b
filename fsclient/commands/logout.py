"""`fsclient logout`."""

from __future__ import annotations

import click

from fsclient.app import App


@click.command()
@click.pass_obj
def command(app: App) -> None:
    """End the session, here and at the server."""
    from fsproto.errors import LoginRefused, LoginRequired
    from fsproto.messages.account import Logout
    from fsproto.messages.base import Done

    profile = app.profile
    profile.facts()
    if profile.ticket() is None:
        app.ui.say("There is no session to end.")
        app.ui.result_of(logged_out=False)
        return
    try:
        with app.session_at_hand() as session:
            session.connection.call(Logout(), Done)
    except (LoginRefused, LoginRequired):
        app.ui.say("The session had ended already.")
    finally:
        profile.drop_ticket()
        app.drop_session()
    app.ui.say("Logged out.")
    app.ui.result_of(logged_out=True)
