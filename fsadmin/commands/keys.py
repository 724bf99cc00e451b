"""Commands for the server's own keys."""

from __future__ import annotations

import click

from fsadmin.context import Admin, common_options, yes_option
from fsproto import crypto

_RELOAD = (
    "Running nodes use it within seconds. "
    "Clients that expect the old key move to the new one by themselves, and say so once."
)
_ALARM = (
    "Running nodes use it within seconds. "
    "Every client is alarmed until its person takes a new link: fsclient repin LINK."
)


@click.command("host-key", short_help="Show the fingerprint that clients pin.")
@common_options
@click.pass_obj
def host_key(admin: Admin) -> None:
    """Show the fingerprint of the server's host key, which clients pin.

    If the SSH listener was ever open, the fingerprints of its keys follow, in the form that SSH
    clients show.
    """
    from fsd.home.ssh_host_keys import ssh_host_keys

    fingerprint = crypto.fingerprint(admin.home.host_key().public)
    ssh = ssh_host_keys(admin.home)
    told = {"host_key": fingerprint, "ssh": {key.kind: key.fingerprint for key in ssh}}
    admin.answer(told, lambda: "\n".join([fingerprint, *(f"ssh {key}" for key in ssh)]))


@click.command("rotate-host-key", short_help="Rotate the server's host key.")
@click.option("--stolen", is_flag=True, help="Do not sign the new key with the old one.")
@yes_option
@common_options
@click.pass_obj
def rotate_host_key(admin: Admin, *, stolen: bool, yes: bool) -> None:
    """Create a new host key, signed by the old one. Asks first.

    The old key signs a statement that names the new one. A client that expects the old key
    verifies the statement, trusts the new key from then on, and reports this in one line. Links
    stay valid for eight changes. All nodes get the new key before any of them shows it, and the
    command waits for them; then the old key is deleted.

    Use --stolen if the old key may have been stolen, because a thief can use it to sign a key of
    their own. --stolen makes no statement and deletes all former ones. Every client then reports
    an alarm until its user gets a new link over a trusted channel: 'fsclient repin LINK'.

    The change is recorded in the audit log first; if that fails, nothing is changed.
    """
    from fsd.audit.events import AuditEvent
    from fsd.cluster.alone import maintenance
    from fsd.cluster.rotation import rotate_host_key as rotate
    from fsd.factory import server_keys
    from fsd.master_key import open_vault
    from fskit.clock import now_ms

    home = admin.home
    home.host_key()
    asked = "another host key, which is an alarm to every client" if stolen else "another host key"
    admin.confirm(f"Give the server {asked}?", yes=yes)
    with (
        admin.database_at_head() as database,
        maintenance(home, database),
        admin.audit() as audit,
    ):

        def record(before: str, after: str) -> None:
            detail = f"{after} after {before}{', which may have been stolen' if stolen else ''}"
            audit.note(AuditEvent.HOST_KEY_ROTATED, detail)

        before, after = rotate(
            home,
            database,
            server_keys(home, database),
            open_vault(home, database),
            now_ms,
            stolen=stolen,
            record=record,
        )
    admin.answer(
        {"before": before, "host_key": after},
        lambda: (
            f"The host key is {after} now; before it was {before}.\n{_ALARM if stolen else _RELOAD}"
        ),
    )


@click.command("rotate-master-key", short_help="Rotate the key that seals the stored secrets.")
@common_options
@click.pass_obj
def rotate_master_key(admin: Admin) -> None:
    """Create a new master key and re-seal all one-time password secrets under it.

    Stop fsd first, on all nodes that share the database. Other nodes get the new key with
    'fsadmin node export' and 'fsadmin node import'. All secrets, and the server's other keys, are
    sealed again in one transaction; after an interruption either the old or the new key is valid,
    and the next start uses the valid one. Users notice nothing. Older backups contain the old
    key: delete those that you do not need.
    """
    from fsd.master_key import rotate

    with admin.database_at_head() as database:
        count = rotate(admin.home, database, actor=admin.actor)
    secrets = "1 secret is" if count == 1 else f"{count} secrets are"
    admin.answer({"secrets": count}, lambda: f"{secrets} sealed under a new master key.")
