"""How long the server keeps what was replaced or removed: what the operator decides about it."""

from __future__ import annotations

from dataclasses import dataclass

from fsproto.errors import BadSettingError

DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class KeepPolicy:
    """What is kept of files that were replaced, and of what was removed.

    `BadSettingError` for a number below zero.
    """

    keep_versions: int = 10
    """How many contents of each file are kept beside the one it has now; 0 keeps none."""
    keep_removed_days: float = 30
    """Days for which a removed file or folder, with all that was in it, can be brought back;
    0 deletes it at once."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.keep_versions < 0 or not self.keep_removed_days >= 0:
            raise BadSettingError("What is kept of old versions cannot be less than nothing.")

    def removed_before(self, now_ms: int) -> int:
        """Return the time, in Unix milliseconds, before which what was removed has had its days."""
        return now_ms - int(min(self.keep_removed_days, 36_500) * DAY_MS)
