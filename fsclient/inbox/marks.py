"""The mark of a file that came through the drop box."""

from __future__ import annotations

from typing import Any

from fsproto.names import for_terminal
from fsproto.sealed.manifest import REQUEST, Metadata, dropped_of


def dropped_data(metadata: Metadata) -> dict[str, Any] | None:
    """Return the data for JSON output; None if the file is not from a drop."""
    dropped = dropped_of(metadata)
    if dropped is None:
        return None
    return {
        "id": dropped.drop.hex(),
        "arrived_ms": dropped.arrived_ms,
        "address": dropped.address,
        "key": dropped.key or None,
        "label": dropped.label or None,
    }


def mark(metadata: Metadata) -> str:
    """Return the text after a name; empty if the file is not from a drop."""
    dropped = dropped_of(metadata)
    if dropped is None:
        return ""
    if dropped.key == REQUEST:
        label = f" '{for_terminal(dropped.label)}'" if dropped.label else ""
        sender = f" by {for_terminal(dropped.address)}" if dropped.address else ""
        return f"  (sent with request link{label}{sender})"
    by = f" by {dropped.label or dropped.key}" if dropped.key else ""
    return f"  (dropped{for_terminal(by)} from {for_terminal(dropped.address)})"
