"""Lineages: each version of a signed value commits to all versions before it.

    lineage(1)     = 32 zero bytes
    lineage(v + 1) = SHA-256(label ‖ u64 v ‖ lineage(v) ‖ hash(v))

Folder states, manifests and member lists carry the lineage of their version. A client that has
seen version v accepts version V > v only if what it saw is an ancestor of it: the hashes of the
versions v + 1 … V - 1 must lead from the lineage of v to that of V. A server that has shown two
clients different versions can therefore never show both of them a common later version (fork
consistency: Li et al., SUNDR, OSDI 2004).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from fsproto import crypto, labels
from fsproto.types import NO_HASH, Hash
from fsproto.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterable

_VERSION = struct.Struct(">Q")
NO_LINEAGE = NO_HASH
"""The lineage of a first version."""


def next_lineage(version: int, lineage: Hash, hash_of: Hash) -> Hash:
    """Return the lineage that version + 1 must carry; `hash_of` is the hash of `version`."""
    return Hash(crypto.sha256(labels.LINEAGE, _VERSION.pack(version), lineage, hash_of))


def lineage_after(version: int, lineage: Hash, hashes: Iterable[Hash]) -> Hash:
    """Return the lineage after some versions, the first of which is `version` and has `lineage`."""
    for at, hash_of in enumerate(hashes, version):
        lineage = next_lineage(at, lineage, hash_of)
    return lineage


class LineagePoint(Value, frozen=True):
    """The facts of one version of a signed value that its lineage needs."""

    version: int
    lineage: Hash
    """The lineage of this version."""
    hash: Hash
    """The hash of this version."""

    @property
    def next_lineage(self) -> Hash:
        """The lineage that the next version must carry."""
        return next_lineage(self.version, self.lineage, self.hash)

    def leads_to(self, later: LineagePoint, between: Iterable[Hash]) -> bool:
        """Return whether this version is an ancestor of a later one.

        `between` are the hashes of the versions between the two, the oldest first; none for the
        next version.
        """
        version, lineage = self.version + 1, self.next_lineage
        for hash_of in between:
            if version >= later.version:
                return False
            version, lineage = version + 1, next_lineage(version, lineage, hash_of)
        return version == later.version and crypto.equal(lineage, later.lineage)
