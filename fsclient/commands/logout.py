"""`fsclient logout`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsproto.errors import LoginRefused, LoginRequired
from fsproto.messages.account import EndSessions, Logout
from fsproto.messages.base import Done


@click.command()
@click.option("--everywhere", is_flag=True, help="End all your sessions, on other machines too.")
@click.pass_obj
def command(app: App, *, everywhere: bool) -> None:
    """End the session, here and at the server.

    --everywhere ends all your sessions, within about a second. It asks for a code if no session
    runs here. 'fsclient sessions' lists them.
    """
    profile = app.profile
    profile.facts()
    if everywhere:
        try:
            with app.session() as session:
                session.connection.call(EndSessions(), Done)
        finally:
            app.drop_session()
        profile.drop_ticket()
        app.ui.say("Logged out everywhere.")
        app.ui.result_of(logged_out=True)
        return
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
