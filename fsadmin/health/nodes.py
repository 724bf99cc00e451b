"""Checks of the nodes: whether they are alive, their versions and their clocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fsadmin.health.report import CheckResult, bad, fine, note
from fsd.cluster import registry
from fskit.text import count_text, duration_text

if TYPE_CHECKING:
    from fsd.cluster.registry import NodeView
    from fsd.store.engine import Database

_OFF_MS = 1000
_SYNCHRONISE = "let chrony or systemd-timesyncd set its clock: one-time passwords depend on it"


def nodes(used: Database, now_ms: int) -> Iterator[CheckResult]:
    """Check all nodes of a database; a server that has stopped has none."""
    found = registry.nodes(used, now_ms)
    alive = [node for node in found if node.is_alive]
    for node in found:
        if not node.is_alive:
            yield note(
                "nodes",
                f"The node {_named(node)} was last seen {duration_text(node.seen_s)} ago.",
                "it was killed, is frozen or cannot reach the database: see its log and restart "
                "it; the start of any node deletes its entry after a day",
            )
    versions = sorted({node.version for node in alive})
    if len(versions) > 1:
        yield note(
            "nodes",
            f"The nodes have different versions: {', '.join(versions)}.",
            "'fsadmin nodes' shows which; update the others, one after the other",
        )
    for node in alive:
        off_ms = abs(node.clock_ahead_ms)
        if off_ms > _OFF_MS:
            say = bad if off_ms > registry.MOST_OFF_MS else note
            way = "ahead of" if node.clock_ahead_ms > 0 else "behind"
            sentence = f"The clock of the node {_named(node)} is {off_ms} ms {way} the database's."
            yield say("nodes", sentence, _SYNCHRONISE)
    if alive and len(versions) == 1:
        yield fine("nodes", f"fsd {versions[0]} runs on {count_text(len(alive), 'node')}.")


def _named(node: NodeView) -> str:
    return f"{node.name} ({node.address})"
