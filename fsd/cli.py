"""The command line of the daemon."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fsd import logs
from fsd.home import Home, default_home
from fsproto import __version__
from fsproto.errors import FsError
from fsproto.link import Address, parse_address


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="FSD_HOME",
    help="Folder for keys, database and blobs; made at the first start.  [env: FSD_HOME]",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:65432",
    show_default=True,
    help="Where to accept clients; port 0 picks a free one.",
)
@click.option(
    "--database",
    metavar="URL",
    envvar="FSD_DATABASE",
    help="SQLAlchemy URL in place of SQLite in the home.  [env: FSD_DATABASE]",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How logs are written to stderr.",
)
@click.version_option(__version__, prog_name="fsd", message="%(prog)s %(version)s")
def command(home: Path | None, listen: str, database: str | None, log_format: str) -> None:
    """Serve a team's sealed files.

    When it accepts connections it prints one line, with the fingerprint that clients pin:

        fsd ready on HOST:PORT host-key SHA256:...

    SIGTERM and SIGINT let what is in flight finish. Enrol people with fsadmin.
    """
    from fsd.app import Settings, serve

    logs.set_up(log_format)
    place = Home((home or default_home()).expanduser())
    serve(Settings(place, parse_address(listen), database), _ready)


def _ready(address: Address, host_key: str) -> None:
    sys.stdout.write(f"fsd ready on {address} host-key {host_key}\n")
    sys.stdout.flush()


def main() -> None:
    """Run, and turn what goes wrong into a sentence and an exit status."""
    try:
        command.main(standalone_mode=False)
    except FsError as error:
        _complain(f"{error.sentence}", error.hint)
        raise SystemExit(error.exit_status) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(2) from None
    except (click.Abort, KeyboardInterrupt):
        raise SystemExit(130) from None


def _complain(sentence: str, hint: str | None) -> None:
    sys.stderr.write(f"fsd: {sentence}\n" + (f"     {hint}\n" if hint else ""))
