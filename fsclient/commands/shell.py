"""`fsclient shell`."""

from __future__ import annotations

import click

from fsclient.app import App


@click.command()
@click.pass_context
def command(ctx: click.Context) -> None:
    """Work interactively: connect once, log in once, then put, get, ls, … by name.

    The tab key completes commands and paths; what was typed is remembered. SEND_FILE asks for
    the path of a local file and puts it, REQUEST_FILE asks for a name and gets it, EXIT ends.
    Commands can come through a pipe as well; the exit status is then that of the last one.
    """
    from fsclient.cli import COMMANDS, run
    from fsclient.shell.repl import Shell

    app: App = ctx.obj
    ctx.exit(Shell(app, run, list(COMMANDS)).loop())
