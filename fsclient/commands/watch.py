"""`fsclient watch`."""

from __future__ import annotations

from contextlib import suppress

import click

from fsclient.app import App
from fskit.stdout import check_reader
from fskit.text import time_column

_KIND = len("watching")


EVENTS = """\b
Events:
  watching   at the start: nothing is missed from here on
  changed    something under REMOTE (default: your whole tree) has changed
  drop       a file arrived in your drop box
  share      another user shares a file or folder with you
  session    a session of your account started, on any device
"""


@click.command(epilog=EVENTS)
@click.argument("path", default="/", metavar="[REMOTE]")
@click.pass_obj
def command(app: App, path: str) -> None:
    """Print events of your account as they happen, one on a line.

    With --json, each line is a JSON object. What happened before the start is not printed. It
    waits while the server cannot be reached or the session has ended, and then prints what
    happened in the meantime. Drops, shares and sessions are printed within ten seconds or so.
    Ctrl-C ends it.

    The server reports changes, and can leave one out; 'sync --watch' verifies what it shows.
    """
    from fsclient.operations.account_events import AccountEvent, run

    def show(events: list[AccountEvent]) -> None:
        check_reader()
        for one in events:
            text = f"{time_column(one.time_ms)}  {one.kind:<{_KIND}}  {one.text}"
            app.ui.result(one.as_json, text)

    with suppress(KeyboardInterrupt):  # the documented end
        run(app, app.path(path), show)
