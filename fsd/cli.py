"""The command line of the daemon."""

from __future__ import annotations

from pathlib import Path

import click

from fsd import logs
from fsd.console import Console, database_option, debug_option, home_option, run
from fsd.home import Home, default_home
from fsproto import __version__
from fsproto.link import Address, parse_address


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@home_option
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:65432",
    show_default=True,
    help="Where to accept clients; port 0 picks a free one.",
)
@database_option
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How logs are written to stderr.",
)
@debug_option
@click.version_option(__version__, prog_name="fsd", message="%(prog)s %(version)s")
def command(home: Path | None, listen: str, database: str | None, log_format: str) -> None:
    """Serve a team's sealed files.

    When it accepts connections it prints one line, with the fingerprint that clients pin:

        fsd ready on HOST:PORT host-key SHA256:...

    SIGTERM and SIGINT let what is in flight finish. Enrol people with fsadmin.
    """
    address = parse_address(listen)

    from fsd.app import Settings, serve

    logs.set_up(log_format)
    place = Home((home or default_home()).expanduser())
    serve(Settings(place, address, database), _ready)


def _ready(address: Address, host_key: str) -> None:
    click.echo(f"fsd ready on {address} host-key {host_key}")


def main() -> None:
    """Run, and turn what goes wrong into a sentence and an exit status."""
    run(command, Console("fsd"))
