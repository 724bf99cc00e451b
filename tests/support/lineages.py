"""Lines of versions as a server may show them: one true line, and branches from it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from fsclient.trust.sightings import Gap
from fsproto import crypto
from fsproto.proofs.lineage import NO_LINEAGE, LineagePoint, lineage_after
from fsproto.types import Hash


def hash_of(version: int, branch: str = "", since: int = 1) -> Hash:
    """Return the hash of a version on a branch that starts with version `since`."""
    name = branch if version >= since else ""
    return Hash(crypto.sha256(name.encode(), version.to_bytes(8, "big")))


@cache
def point(version: int, branch: str = "", since: int = 1) -> LineagePoint:
    """Return a version on a branch that starts with version `since`."""
    found = LineagePoint(1, NO_LINEAGE, hash_of(1, branch, since))
    for number in range(2, version + 1):
        found = LineagePoint(number, found.next_lineage, hash_of(number, branch, since))
    return found


def reached(gap: Gap, hashes: Sequence[Hash]) -> Hash:
    """Return the lineage to which hashes lead over a gap; zeros if it takes another number."""
    after = gap.earlier.version + 1
    if len(hashes) != gap.later.version - after:
        return Hash(bytes(32))
    return lineage_after(after, gap.earlier.next_lineage, hashes)


def prove(gaps: Sequence[Gap], branch: str = "", since: int = 1) -> dict[Gap, Hash]:
    """Return the lineage that a branch (default: the true line) has at the end of every gap."""
    return {
        gap: reached(
            gap,
            [
                hash_of(version, branch, since)
                for version in range(gap.earlier.version + 1, gap.later.version)
            ],
        )
        for gap in gaps
    }
