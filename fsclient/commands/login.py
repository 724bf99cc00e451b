"""`fsclient login`."""

from __future__ import annotations

import contextlib

import click

from fsclient.app import App
from fsclient.commands.device import device_option
from fskit.text import time_text


@click.command()
@device_option
@click.pass_obj
def command(app: App, *, device: str | None) -> None:
    """Start a new session with a one-time password.

    Other commands do this themselves when the session has ended. The values of --via and
    --device are kept for later commands.
    """
    app.options.device = device
    app.drop_session()
    with contextlib.closing(app.keeper().open(fresh=True)) as session:
        user = session.identity.user
    app.keep_choices()
    ends = app.profile.session_ends_ms() or 0
    app.ui.result(
        {"user": user, "session_ends_ms": ends},
        f"Logged in as {user}; the session lasts until {time_text(ends)}.",
    )
