"""Commands for the nodes: the fsd processes that share the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fsadmin import output
from fsadmin.context import Admin, common_options
from fskit.text import duration_text

if TYPE_CHECKING:
    from fsd.cluster.registry import NodeView

_HEADERS = ("NAME", "ADDRESS", "VERSION", "SINCE", "LAST SEEN", "CONNECTIONS", "REQUESTS/S")


@click.command(short_help="List the nodes: the running fsd processes on the database.")
@common_options
@click.pass_obj
def nodes(admin: Admin) -> None:
    """List the nodes: the running fsd processes on the database, with their load.

    Each node reports every 10 seconds. One that was not seen for a minute is marked '!': it was
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
    }
