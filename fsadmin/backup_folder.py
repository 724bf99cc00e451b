"""A folder of backups: their names, and deletion of the older ones."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from fskit.os_errors import file_error

_NAME = re.compile(r"fsd-\d{8}T\d{6}Z\.backup")


def name(now_ms: int) -> str:
    """Return the name of a backup that starts now; names sort by time."""
    return f"fsd-{datetime.fromtimestamp(now_ms / 1000, UTC):%Y%m%dT%H%M%SZ}.backup"


def prune(folder: Path, keep: int) -> list[Path]:
    """Delete all but the newest `keep` backups, by their names; return what was deleted.

    Files with other names stay. `FsError` if a file cannot be deleted.
    """
    try:
        backups = sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
        for path in backups[:-keep]:
            path.unlink()
    except OSError as error:
        raise file_error(f"Older backups in {folder} cannot be deleted", error) from None
    return backups[:-keep]
