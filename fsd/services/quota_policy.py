"""How much everybody may hold for whom nothing else was set: what the operator decides."""

from __future__ import annotations

from dataclasses import dataclass

from fsd.store.quota_models import Quota
from fsd.store.repos.quotas import NO_LIMIT


@dataclass(frozen=True)
class QuotaPolicy:
    """What the operator allows everybody for whom nothing else was set; None: any amount."""

    most_bytes: int | None = None
    most_files: int | None = None

    def bytes_of(self, row: Quota | None) -> int | None:
        """Return how many bytes somebody may hold; None: any number."""
        return _limit(row.most_bytes if row else None, self.most_bytes)

    def files_of(self, row: Quota | None) -> int | None:
        """Return how many files somebody may hold; None: any number."""
        return _limit(row.most_files if row else None, self.most_files)

    def limits(self, row: Quota | None) -> bool:
        """Tell whether somebody may not hold any amount."""
        return (self.bytes_of(row), self.files_of(row)) != (None, None)


def _limit(own: int | None, everybodys: int | None) -> int | None:
    if own is None:
        return everybodys
    return None if own == NO_LIMIT else own
