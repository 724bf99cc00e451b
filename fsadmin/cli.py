"""The command line of the administration tool; each group of commands has its own module."""

from __future__ import annotations

import sys
from itertools import takewhile
from pathlib import Path

import click

from fsadmin.commands import (
    access,
    add_users,
    backups,
    check,
    drop_keys,
    groups,
    hooks,
    keys,
    migrate,
    nodes,
    users,
)
from fsadmin.commands.audit import audit
from fsadmin.commands.db import db
from fsadmin.commands.doctor import doctor
from fsadmin.commands.install import completion, print_unit
from fsadmin.commands.man import print_man
from fsadmin.commands.page import page
from fsadmin.context import Admin, common_options
from fskit.console import config_option, database_option, home_option, run, unknown_command
from fsproto import __version__

_ELSEWHERE = {
    "useradd": "add-user", "adduser": "add-user", "create-user": "add-user", "enroll": "add-user",
    "invite": "add-user", "import": "add-users", "userdel": "remove-user",
    "deluser": "remove-user", "delete-user": "remove-user", "usermod": "change-user",
    "edit-user": "change-user", "modify-user": "change-user", "set-quota": "change-user",
    "quota": "change-user", "users": "list-users", "user": "show-user", "passwd": "rotate-secret",
    "password": "rotate-secret", "otp": "rotate-secret", "lock-user": "disable-user",
    "block-user": "disable-user", "suspend-user": "disable-user", "unblock-user": "enable-user",
    "groups": "list-groups", "groupadd": "add-group", "groupdel": "remove-group",
    "delete-group": "remove-group", "status": "doctor", "health": "doctor", "info": "doctor",
    "log": "audit", "logs": "audit", "logout": "revoke", "kick": "revoke", "who": "sessions",
    "fsck": "check", "scrub": "check", "repair": "check", "migrate": "db", "upgrade": "db",
    "dump": "backup", "unit": "print-unit", "systemd": "print-unit", "man": "print-man",
    "fingerprint": "host-key", "url": "link", "list-nodes": "nodes", "cluster": "nodes",
}  # fmt: skip
"""Names of commands in other programs, for suggestions."""


class Commands(click.Group):
    """The group of commands, which suggests one for an unknown name."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for an unknown name, raise `UsageError` with the nearest command."""
        name = args[0]
        if name in self.commands or name.startswith("-"):
            return super().resolve_command(ctx, args)
        known = {command: command for command in self.commands} | _ELSEWHERE
        for command in self.commands:  # user-add for add-user
            known.setdefault("-".join(reversed(command.split("-"))), command)
        raise unknown_command(name, known, "'fsadmin --help' lists them.")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@home_option
@config_option
@database_option
@common_options
@click.version_option(__version__, prog_name="fsadmin", message="%(prog)s %(version)s")
@click.pass_obj
def command(admin: Admin, home: Path | None, config: Path | None, database: str | None) -> None:
    """Manage the users of the fsd server on this machine.

    It works directly on the server's data directory and database, whether or not fsd is running.
    Changes take effect at once. Data directory and database are set in fsd.toml, the environment,
    or the options here. It can allow or refuse logins. It cannot read users' files.
    """
    admin.home_path, admin.config_path, admin.database_option = home, config, database


for _command in (
    users.add_user,
    add_users.add_users,
    users.list_users,
    users.show_user,
    users.link,
    users.change_user,
    users.disable_user,
    users.enable_user,
    users.remove_user,
    users.rotate_secret,
    users.reset_keys,
    access.recovery_codes,
    access.unlock_user,
    access.sessions,
    access.revoke,
    groups.add_group,
    groups.list_groups,
    groups.show_group,
    groups.remove_group,
    groups.add_member,
    groups.remove_member,
    drop_keys.add_drop_key,
    drop_keys.list_drop_keys,
    drop_keys.remove_drop_key,
    keys.host_key,
    keys.rotate_host_key,
    keys.rotate_master_key,
    backups.backup,
    backups.restore,
    nodes.nodes,
    nodes.node,
    migrate.migrate_database,
    migrate.migrate_blobs,
    hooks.hooks,
    check.check,
    doctor,
    print_unit,
    print_man,
    completion,
    page,
    audit,
    db,
):
    command.add_command(_command)


def main() -> None:
    """Run the command; report an error as a sentence and an exit status."""
    admin = Admin()
    # Errors in the command line itself are reported as JSON, too.
    admin.json = "--json" in takewhile(lambda word: word != "--", sys.argv[1:])
    run(command, admin)
