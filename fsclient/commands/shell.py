"""`fsclient shell`."""

from __future__ import annotations

import click

from fsclient.app import App


@click.command()
@click.pass_context
def command(ctx: click.Context) -> None:
    """Work interactively: connect once, log in once, then put, get, ls, … by name.

    Also understands SEND_FILE, REQUEST_FILE and EXIT. Completes commands and remote paths with
    the tab key and remembers what was typed. Reads commands from a pipe as well.
    """
    from fsclient.cli import COMMANDS, run
    from fsclient.shell import Shell

    app: App = ctx.obj
    ctx.exit(Shell(app, run, list(COMMANDS)).loop())
