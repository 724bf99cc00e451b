"""`fsclient logout`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsproto.errors import LoginRefused, LoginRequired, NotFoundError, UsageError
from fsproto.messages.account import EndSession, EndSessions, GetSessions, Logout, Sessions
from fsproto.messages.base import Done


@click.command()
@click.option("--everywhere", is_flag=True, help="End all your sessions, on other machines too.")
@click.option(
    "--session",
    "number",
    type=click.IntRange(min=1),
    metavar="N",
    help="End the session of this number, as 'fsclient sessions' shows it.",
)
@click.pass_obj
def command(app: App, *, everywhere: bool, number: int | None) -> None:
    """End the session, here and at the server.

    --session N ends one session, for example that of a machine that you have lost. --everywhere
    ends all your sessions, within about a second. Both ask for a code if no session runs here.
    'fsclient sessions' lists them.
    """
    profile = app.profile
    profile.facts()
    if number is not None:
        if everywhere:
            raise UsageError("Give --session or --everywhere, not both.")
        _end_one(app, number)
        return
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


def _end_one(app: App, number: int) -> None:
    with app.session() as session:
        running = session.connection.call(GetSessions(), Sessions).sessions
        found = next((each for each in running if each.id == number), None)
        if found is None:
            raise NotFoundError(
                f"You have no running session {number}.", hint="'fsclient sessions' shows all."
            )
        this = found.this
        session.connection.call(EndSession(number), Done)
    if this:
        app.profile.drop_ticket()
        app.drop_session()
    app.ui.say(f"Session {number} has ended.")
    app.ui.result_of(logged_out=this, ended=number)
