"""Options of `put`, `get` and `sync`: which files, and the treatment of existing ones."""

from __future__ import annotations

import msgspec

from fsclient.transfer.filters import Filters
from fsproto.values import Value


class TransferOptions(Value, frozen=True):
    """How to treat files that already exist."""

    filters: Filters = msgspec.field(default_factory=Filters)
    update: bool = False
    """Skip files of the same size, time and mode."""
    mirror: bool = False
    """As `update`; if only time or mode differ, compare contents and set just these. Applies to
    folders as well."""
    checksum: bool = False
    """Compare contents even where size, time and mode are the same."""
    since_ns: int | None = None
    """As `update`, but only for files that were transferred since this time (ns)."""
    delete: bool = False
    """Remove files that the source lacks, and replace entries of another kind."""
