"""`fsclient sessions`."""

from __future__ import annotations

import click

from fsclient.app import App
from fskit.text import time_text
from fsproto.messages.account import GetSessions, RunningSession, Sessions
from fsproto.names import for_terminal


def _over(door: str) -> str:
    return "" if door == "native" else f", over {for_terminal(door)}"


def _lines(each: RunningSession) -> list[str]:
    named = f"  {each.device}" if each.device else ""
    return [
        f"{'*' if each.this else ' '} {each.id:>4}{named}",
        f"       since {time_text(each.began_ms)}, until {time_text(each.expires_ms)}",
        f"       used {time_text(each.used_ms)} from {each.address}{_over(each.door)}",
    ]


@click.command()
@click.pass_obj
def command(app: App) -> None:
    """List your running sessions: number, device, start, last use and its address, end.

    The time of the last use is exact to ten minutes.

    A session lets commands run without another one-time password on the machine that has your
    keys. A session over SSH belongs to the SSH key that is shown. If you do not recognise one:
    'fsclient logout --session N'. 'fsclient login --device NAME' gives this device another name.
    """
    with app.session() as session:
        running = session.connection.call(GetSessions(), Sessions).sessions
    app.ui.result(
        [
            {
                "session": each.id,
                "began_ms": each.began_ms,
                "used_ms": each.used_ms,
                "expires_ms": each.expires_ms,
                "address": each.address,
                "this": each.this,
                "door": each.door,
                "device": each.device,
            }
            for each in running
        ],
        [line for each in running for line in _lines(each)],
    )
