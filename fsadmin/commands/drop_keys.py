"""Commands for SSH keys with which devices drop files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fsadmin import output
from fsadmin.context import Admin, common_options
from fskit.local_paths import LocalPath
from fskit.os_errors import file_error

if TYPE_CHECKING:
    from fsd.services.drops.keys import KnownKey


@click.command("add-drop-key", short_help="Allow an SSH key to drop files for a user.")
@click.argument("name")
@click.argument("keyfile", type=LocalPath())
@click.option("--note", default="", metavar="TEXT", help="Name of the device, like 'scanner'.")
@common_options
@click.pass_obj
def add_drop_key(admin: Admin, *, name: str, keyfile: Path, note: str) -> None:
    """Let a device drop files for a user with its SSH key, without a one-time password.

    KEYFILE holds the public key of the device in OpenSSH's format: Ed25519, ECDSA, or RSA of at
    least 2048 bits. With the key, a device can only upload drops; it cannot read or list drops
    of others. The server sees drops while they arrive, so they are off unless 'drop_box' is on.
    Without --note, the comment of the key is used.
    """
    from fsproto.keys.ssh_keys import read_ssh_key

    key = read_ssh_key(_content(keyfile))
    with admin.drop_keys() as keys:
        known = keys.add(name, key, note or key.comment)
    allowed = admin.loaded.checked(("drop_box",)).drops.box

    def text() -> str:
        lines = [f"{known.fingerprint} ({known.kind}) may drop for {name}."]
        if not allowed:
            lines.append("Nothing can be dropped unless fsd runs with 'drop_box = true'.")
        return "\n".join(lines)

    admin.answer(_as_json(known), text)


@click.command("list-drop-keys", short_help="List the SSH keys of drop boxes.")
@click.option("--user", metavar="NAME", help="Only the keys of one user.")
@common_options
@click.pass_obj
def list_drop_keys(admin: Admin, *, user: str | None) -> None:
    """List the SSH keys that may drop files, with their user and the time they were added."""
    with admin.drop_keys() as keys:
        found = keys.listed(user)

    def text() -> str:
        if not found:
            return "No key may drop anything."
        headers = ("USER", "KEY", "KIND", "SINCE", "NOTE")
        rows = [
            (one.user, one.fingerprint, one.kind, output.day(one.added_ms), one.label)
            for one in found
        ]
        return output.table(headers, rows, right=())

    admin.answer([_as_json(one) for one in found], text)


@click.command("remove-drop-key", short_help="Remove an SSH key of a drop box.")
@click.argument("fingerprint", metavar="SHA256:...")
@common_options
@click.pass_obj
def remove_drop_key(admin: Admin, *, fingerprint: str) -> None:
    """Stop an SSH key from dropping files, from its next login on.

    FINGERPRINT is shown by 'fsadmin list-drop-keys' and 'ssh-keygen -l'. Drops that were made
    with the key stay.
    """
    with admin.drop_keys() as keys:
        known = keys.remove(fingerprint)
    admin.answer(
        _as_json(known) | {"removed": True},
        lambda: f"{known.fingerprint} may not drop for {known.user} any more.",
    )


def _content(path: Path) -> bytes:
    from fsproto.keys.ssh_keys import LONGEST

    try:
        with path.open("rb") as file:
            return file.read(LONGEST + 1)
    except OSError as error:
        raise file_error(f"{path} cannot be read", error) from None


def _as_json(known: KnownKey) -> dict[str, object]:
    return {
        "user": known.user,
        "fingerprint": known.fingerprint,
        "kind": known.kind,
        "note": known.label,
        "added_ms": known.added_ms,
    }
