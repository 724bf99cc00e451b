"""`fsclient gateway`."""

from __future__ import annotations

from contextlib import suppress

import click

from fsclient.app import App
from fsclient.gateway.config import ConfigFiles, lines
from fsclient.gateway.gateway import running
from fsclient.gateway.keys import ensure_keys
from fsclient.gateway.listen import parse_place

EXAMPLES = """\b
Examples:
  fsclient gateway                  until Ctrl-C
  fsclient gateway --print-config   settings for sftp, sshfs and rclone
  fsclient gateway --listen unix:~/.gateway.sock   for your own user alone
  fsclient gateway --read-only      refuse all changes
"""
DEFAULT = "127.0.0.1:2022"


@click.command(epilog=EXAMPLES)
@click.option(
    "--listen",
    default=DEFAULT,
    show_default=True,
    metavar="HOST:PORT|unix:PATH",
    help="Where to listen; a Unix socket is for you alone.",
)
@click.option("--read-only", is_flag=True, help="Refuse all changes.")
@click.option("--allow-remote", is_flag=True, help="Listen where other machines can connect, too.")
@click.option("--print-config", is_flag=True, help="Print settings for other programs, and exit.")
@click.pass_obj
def command(
    app: App, listen: str, *, read_only: bool, allow_remote: bool, print_config: bool
) -> None:
    """Serve your files to other programs on this machine, as an SFTP server.

    The gateway seals and opens files here: your team's server sees no more than with 'put' and
    'get'. Your own tree is at '/', files that others share with you are under '/@shared/'. A
    file gets a new version when the program closes it. An interrupted write changes nothing.

    Programs log in with a key that is stored next to your identity. Any user of this machine with
    read access to that file can use the gateway while it runs.
    """
    address = parse_place(listen)
    if print_config:
        user = app.profile.facts().link.user
        keys = ensure_keys(app.profile.folder)
        files = ConfigFiles(keys.folder)
        if not files.ssh_config.exists():  # else it is that of a gateway, which may be running
            files.write(keys, user, address)
        text = lines(keys, user, address)
        app.ui.result({"lines": text, "key_file": str(keys.client_key)}, text)
        return
    with (
        running(app, address, read_only=read_only, allow_remote=allow_remote) as gateway,
        suppress(KeyboardInterrupt),  # the documented end
    ):
        app.ui.result(
            {"address": str(gateway.server.address), "read_only": read_only},
            f"fsclient gateway ready on {gateway.server.address}",
        )
        app.ui.say("'fsclient gateway --print-config' shows how other programs reach it.")
        gateway.server.serve()
