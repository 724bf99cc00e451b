"""What the options of `put`, `get` and `sync` ask for, beside what goes where."""

from __future__ import annotations

import msgspec

from fsclient.transfer.excludes import Excludes
from fsproto.values import Value


class TransferOptions(Value, frozen=True):
    """How what is there already is met."""

    excludes: Excludes = msgspec.field(default_factory=Excludes)
    update: bool = False
    """Skip files of the same size, time and mode."""
    mirror: bool = False
    """As `update`, and where only time or mode differ compare contents and set those alone, on
    folders as well."""
    checksum: bool = False
    """Compare contents even where size, time and mode are the same."""
    since_ns: int | None = None
    """Skip, of files as for `update`, those that went where they belong from this moment on."""
    delete: bool = False
    """Remove what the source does not have, and replace what there is something else of."""
