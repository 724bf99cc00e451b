"""`fsclient mount`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from fsclient.app import App
from fsclient.gateway.gateway import running
from fsclient.gateway.mount import mounted
from fskit.local_paths import LocalPath
from fsproto.link import Address


@click.command()
@click.argument("folder", metavar="DIR", type=LocalPath())
@click.option("--read-only", is_flag=True, help="Refuse all changes.")
@click.pass_obj
def command(app: App, folder: Path, *, read_only: bool) -> None:
    """Mount your files as a local folder, until Ctrl-C or until it is unmounted.

    The command runs its own gateway and sshfs, which must be installed. DIR must be an empty
    folder; it is created if missing.
    """
    with (
        running(app, Address("127.0.0.1", 0), read_only=read_only, aside=True) as gateway,
        mounted(gateway, folder, read_only=read_only) as sshfs,
        suppress(KeyboardInterrupt),  # the documented end
    ):
        app.ui.result({"mounted": str(folder)}, f"mounted on {folder}")
        app.ui.say(f"Ctrl-C, or 'fusermount3 -u {folder}', ends it.")
        sshfs.wait()
