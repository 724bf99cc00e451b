"""`fsclient shell`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.cli import COMMANDS, run
from fsclient.shell.repl import Shell


@click.command()
@click.pass_context
def command(ctx: click.Context) -> None:
    """Work interactively: connect and log in once, then enter put, get, ls, … by name.

    'cd' and 'pwd' change and show the current remote folder; paths are taken from there, '..' is
    the folder above and '/' the top of your tree. 'lcd', 'lpwd' and 'lls' do so on this machine,
    and '!COMMAND' runs a command of this machine.

    The tab key completes commands and paths; entered lines are kept as history. SEND_FILE asks
    for a local path and puts that file, REQUEST_FILE asks for a name and gets it, EXIT ends.
    Commands can also come through a pipe; the exit status is that of the last one.
    """
    app: App = ctx.obj
    ctx.exit(Shell(app, run, list(COMMANDS)).loop())
