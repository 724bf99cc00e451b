"""The command line of the administration tool; the commands themselves are a file a noun."""

from __future__ import annotations

from pathlib import Path

import click

from fsadmin import access, users
from fsadmin.audit import audit
from fsadmin.context import Admin, common_options
from fsadmin.db import db
from fsd.console import database_option, home_option, run
from fsproto import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@home_option
@database_option
@common_options
@click.version_option(__version__, prog_name="fsadmin", message="%(prog)s %(version)s")
@click.pass_obj
def command(admin: Admin, home: Path | None, database: str | None) -> None:
    """Enrol and manage the people of an fsd, on its own machine.

    It works on the server's home and database directly, whether or not fsd is running; what it
    changes counts at once. It can let people in or keep them out. It cannot read their files.
    """
    admin.home_path, admin.database_url = home, database


@click.command("host-key", short_help="Show the fingerprint that clients pin.")
@common_options
@click.pass_obj
def host_key(admin: Admin) -> None:
    """Show the fingerprint of the server's host key, which clients pin. The key is not shown."""
    from fsproto import crypto

    fingerprint = crypto.fingerprint(admin.home.host_key().public)
    admin.answer({"host_key": fingerprint}, lambda: fingerprint)


for _command in (
    users.add_user,
    users.list_users,
    users.show_user,
    users.disable_user,
    users.enable_user,
    users.remove_user,
    users.rotate_secret,
    users.reset_keys,
    access.recovery_codes,
    access.unlock_user,
    access.sessions,
    access.revoke,
    host_key,
    audit,
    db,
):
    command.add_command(_command)


def main() -> None:
    """Run, and turn what goes wrong into a sentence and an exit status."""
    run(command, Admin())
