"""The command line of the daemon."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fsd import logs
from fskit.console import (
    Console,
    config_option,
    database_option,
    debug_option,
    home_option,
    run,
    set_option,
)
from fsproto import __version__

if TYPE_CHECKING:
    from fsd.home.home import Home
    from fsd.listeners import Listeners
    from fsd.settings.load import Loaded, Wanted

log = logging.getLogger(__name__)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@home_option
@config_option
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Address of the native listener; port 0 picks a free port.  [default: 127.0.0.1:65432]",
)
@database_option
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    help="Format of the log on stderr.  [default: text]",
)
@click.option(
    "--metrics-listen",
    metavar="HOST:PORT",
    help="Loopback address for /metrics (Prometheus) and /healthz.  [default: neither]",
)
@click.option(
    "--health-listen",
    metavar="HOST:PORT",
    help="Address of /healthz alone, for load balancers.  [default: none]",
)
@click.option(
    "--ssh-listen",
    metavar="HOST:PORT",
    help="Address of the SSH listener; port 0 picks a free port.  [default: no SSH listener]",
)
@click.option(
    "--web-listen",
    metavar="HOST:PORT",
    help="Address of the web listener, for public links.  [default: no web listener]",
)
@click.option(
    "--workers",
    metavar="N",
    help="Processes that serve the same addresses.  [default: one a core, at most 4, with "
    "PostgreSQL; 1 with SQLite]",
)
@set_option
@click.option(
    "--check-config",
    is_flag=True,
    help="Check the settings, show each value and its source, and exit.",
)
@debug_option
@click.version_option(__version__, prog_name="fsd", message="%(prog)s %(version)s")
def command(
    home: Path | None,
    config: Path | None,
    listen: str | None,
    database: str | None,
    log_format: str | None,
    metrics_listen: str | None,
    health_listen: str | None,
    ssh_listen: str | None,
    web_listen: str | None,
    workers: str | None,
    settings: tuple[str, ...],
    check_config: bool,
) -> int:
    """Serve a team's sealed files.

    When it accepts connections it prints one line, with the fingerprint that clients pin:

        fsd ready on HOST:PORT host-key SHA256:...

    With --ssh-listen it prints another one, with the fingerprints that SSH clients show:

        fsd ssh on HOST:PORT host-key SHA256:... (ED25519) SHA256:... (RSA)

    With --web-listen, which serves public links, it prints

        fsd web on HOST:PORT

    SIGTERM and SIGINT stop the server after the requests in flight. SIGHUP reads the configuration
    and the host key again. Enrol people with fsadmin.

    Settings are read from fsd.toml in the data directory. Environment variables (FSD_LOGIN_SESSION
    for login.session) override the file; options override both. docs/configuration.md lists all.
    """
    from fsd.settings.load import load

    wanted = _wanted(
        home,
        config,
        settings,
        {
            "listen": listen,
            "database": database,
            "log_format": log_format,
            "metrics_listen": metrics_listen,
            "health_listen": health_listen,
            "ssh.listen": ssh_listen,
            "web.listen": web_listen,
            "workers": workers,
        },
    )
    loaded = load(wanted)
    if check_config:
        return _tell(loaded)
    found = loaded.checked()

    from fsd.server import serve

    logs.set_up(found.log_format, found.log_level)
    _enter(found.home, chosen="home" in loaded.sources)
    return serve(found, _ready, lambda: load(wanted))


def _enter(home: Home, *, chosen: bool) -> None:
    """Create a missing data directory, and let root work as the owner of it; say both."""
    from fsd.home.owner import act_as_owner
    from fsd.home.places import check_first, give_new_to_user

    new = not home.is_there
    if new:
        if not chosen:
            check_first(home, chosen=False, remedy="--home with a new folder")
        give_new_to_user(home.path)
    name = act_as_owner(home.path)
    if name is not None:
        log.warning("working as %s, the owner of %s", name, home.path)
    home.prepare()
    if new:
        log.warning("created a NEW server in %s", home.path)


def _wanted(
    home: Path | None, config: Path | None, settings: tuple[str, ...], flags: dict[str, str | None]
) -> Wanted:
    from fsd.settings.load import Wanted, parse_set

    given = {name: value for name, value in flags.items() if value is not None}
    return Wanted(
        home,
        config,
        {**parse_set(settings), **given},
        {name: f"--{name.replace('_', '-').replace('.', '-')}" for name in given},
        os.environ,
    )


def _tell(loaded: Loaded) -> int:
    """Print all settings, or all problems in them; return the exit status."""
    from fsd.settings.reference import in_force
    from fsproto.errors import BadSettingError

    for problem in loaded.problems:
        click.echo(f"fsd: {problem.sentence}", err=True)
    if loaded.problems:
        return BadSettingError.exit_status
    if loaded.file is None:
        click.echo("# There is no configuration file, and nothing is wrong with the rest.")
    else:
        click.echo(f"# {loaded.file} is in order.")
    click.echo(in_force(loaded))
    return 0


def _ready(where: Listeners) -> None:
    if sys.stdout.closed:  # a supervisor that closes it does not wait for this line
        return
    click.echo(f"fsd ready on {where.address} host-key {where.host_key}")
    if where.ssh is not None:
        click.echo(f"fsd ssh on {where.ssh} host-key {' '.join(where.ssh_keys)}")
    if where.web is not None:
        click.echo(f"fsd web on {where.web}")


def main() -> None:
    """Run the command; print an error as a sentence, and exit with its status."""
    run(command, Console("fsd"))
