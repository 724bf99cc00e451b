"""Lines of versions as a server may show them: one true line, and branches from it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from fsclient.trust.sightings import Gap
from fsproto import crypto
from fsproto.proofs.lineage import NO_LINEAGE, LineagePoint
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


def prove(gaps: Sequence[Gap], branch: str = "", since: int = 1) -> dict[Gap, list[Hash]]:
    """Return the hashes of a branch (default: the true line) in every gap."""
    return {
        gap: [
            hash_of(version, branch, since)
            for version in range(gap.earlier.version + 1, gap.later.version)
        ]
        for gap in gaps
    }
