"""`fsclient block`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsproto.errors import NotFoundError, UsageError
from fsproto.messages.base import Done
from fsproto.messages.shares import Block, Blocked, GetBlocked
from fsproto.names import clean_user, for_terminal


@click.command()
@click.argument("user", required=False)
@click.option("--undo", is_flag=True, help="Accept shares of that user again.")
@click.pass_obj
def command(app: App, user: str | None, *, undo: bool) -> None:
    """Refuse all shares of another user: leave the existing ones, and accept no new ones.

    Without USER: list the users that you block. They get an error when they share with you.
    Files that you put into their folders stay.
    """
    if user is None:
        if undo:
            raise UsageError("Name the user whose shares you accept again.")
        with app.session() as session:
            found = session.connection.call(GetBlocked(), Blocked).owners
        app.ui.result(
            {"blocked": found}, [for_terminal(one) for one in found] or ["no blocked users"]
        )
        return
    name = clean_user(user)
    with app.session() as session:
        session.context.catch_up()
        if name == session.identity.user or session.people.log.now(name) is None:
            raise NotFoundError(f"There is no other user named '{name}' here.")
        session.connection.call(Block(name, blocked=not undo), Done)
        session.tree.shared.forget()
    app.ui.say(
        f"'{name}' can share with you again." if undo else f"You accept no shares of '{name}' now."
    )
    app.ui.result_of(blocked=name) if not undo else app.ui.result_of(unblocked=name)
