"""Commands for the nodes: the fsd processes that share the database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fsadmin import output, passphrase
from fsadmin.commands.backups import phrase_option
from fsadmin.context import Admin, common_options
from fsd.home.places import give_new_to_user
from fskit.local_paths import LocalPath
from fskit.os_errors import file_error
from fskit.text import duration_text
from fsproto.errors import ExistsError

if TYPE_CHECKING:
    from fsd.cluster.registry import NodeView

_HEADERS = ("NAME", "ADDRESS", "VERSION", "SINCE", "LAST SEEN", "CONNECTIONS", "REQUESTS/S")


@click.command(short_help="List the nodes: the running fsd processes on the database.")
@common_options
@click.pass_obj
def nodes(admin: Admin) -> None:
    """List the nodes: the running fsd processes on the database, with their load.

    Each node reports every 10 seconds. After a minute without a report it is marked '!': it was
    killed, is frozen, or cannot reach the database. Its entry is deleted by a start of fsd in its
    data directory, or by any start of a node after a day.
    """
    from fsd.cluster.registry import nodes as listed
    from fskit.clock import now_ms

    with admin.database_at_head() as database:
        found = listed(database, now_ms())

    def text() -> str:
        if not found:
            return "No fsd is running on this database."
        rows = [_row(node) for node in found]
        return output.table(_HEADERS, rows, right=_HEADERS[-2:])

    admin.answer([_as_json(node) for node in found], text)


def _row(node: NodeView) -> list[str]:
    seen = f"{duration_text(node.seen_s)} ago" if node.is_alive else output.day(node.seen_ms)
    return [
        node.name if node.is_alive else f"! {node.name}",
        node.address,
        node.version,
        output.day(node.started_ms),
        seen,
        str(node.connections) if node.is_alive else "",
        f"{node.requests_a_second:.1f}" if node.is_alive else "",
    ]


def _as_json(node: NodeView) -> dict[str, object]:
    return {
        "id": node.id.hex(),
        "name": node.name,
        "address": node.address,
        "version": node.version,
        "alive": node.is_alive,
        "started_ms": node.started_ms,
        "seen_ms": node.seen_ms,
        "connections": node.connections,
        "requests_a_second": node.requests_a_second,
        "clock_ahead_ms": node.clock_ahead_ms,
    }


@click.group(short_help="Set up another node: export this one, import it elsewhere.")
def node() -> None:
    """Set up another node, a further fsd on the same database.

    On a machine with a node:

        fsadmin node export FILE

    On the new machine:

        fsadmin --home NEW node import FILE

        fsd --home NEW --database URL --listen HOST:PORT

    All nodes need the same contents of files: an object store (blobs.store), or the folder blobs/
    of the data directory shared between them.
    """


@node.command("export", short_help="Write what another node needs, sealed under a passphrase.")
@click.argument("file", type=LocalPath())
@phrase_option
@common_options
@click.pass_obj
def export(admin: Admin, *, file: Path, phrase_file: Path | None) -> None:
    """Write the master key and the URL of the database into FILE, sealed under a passphrase.

    The password in the URL is left out. All other keys are in the database, sealed under the
    master key. FILE must not exist. The passphrase is asked for twice, or taken from
    FSADMIN_PASSPHRASE. Delete FILE after the import.
    """
    from fsd.cluster.export import seal_node, server_name
    from fskit.files import write_private

    if os.path.lexists(file):
        raise ExistsError(f"{file} exists already; nothing was done.", hint="Give another name.")
    home = admin.home
    with admin.database_at_head() as database:
        url = database.url.render_as_string(hide_password=True)
    phrase = passphrase.new(phrase_file, "exported node")
    with home.keys():
        sealed = seal_node(home, server_name(home), url, phrase, os.urandom)
    try:
        write_private(file, sealed, replace=False)
    except OSError as error:
        raise file_error(f"{file} cannot be written", error) from None
    admin.answer(
        {"file": str(file), "database": url},
        lambda: f"The node is in {file}. On the other machine: fsadmin --home NEW node import FILE",
    )


@node.command("import", short_help="Make a data directory from an exported node.")
@click.argument("file", type=LocalPath())
@phrase_option
@common_options
@click.pass_obj
def import_(admin: Admin, *, file: Path, phrase_file: Path | None) -> None:
    """Make the data directory that --home names from the exported node in FILE.

    The directory must be missing or empty. If it is one of the same server, and its fsd is
    stopped, it takes the master key: so a node gets the new one after 'fsadmin rotate-master-key'.
    The first start needs --database with the URL of the server's database.
    """
    from fsd.cluster.export import MAX_EXPORT, import_node, open_node

    try:
        with file.open("rb") as source:
            data = source.read(MAX_EXPORT + 1)
    except OSError as error:
        raise file_error(f"{file} cannot be read", error) from None
    place = admin.place
    secrets = open_node(data, passphrase.existing(phrase_file, "exported node"))
    give_new_to_user(place.path)
    if place.path.is_dir():
        admin.act_as_owner(place.path)
    is_new = import_node(place, secrets)
    told = {"home": str(place.path), "new": is_new, "database": secrets.database}
    start = f"Start it: fsd --home {place.path} --database URL (that of {secrets.database})"
    done = f"The node is in {place.path}." if is_new else f"{place.path} has the master key."
    admin.answer(told, lambda: f"{done}\n{start}")
