"""An upper limit of the data that a commit adds to the stored data of a tree."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy.orm import Session as Db

from fsd.services.files.commit_checks import VerifiedCommit
from fsd.services.files.removal import Removed
from fsd.store.repos import blobs, nodes, quotas
from fsd.store.repos.nodes import StoredNode
from fsd.store.repos.stored import ROW, Stored, size_of
from fsproto.types import NodeId

_REPLACED = 2 * ROW
"""Bytes for a replaced state, manifest or list: its hash stays, and the next one may be longer."""
_REMOVAL = 20 * 1024
"""Bytes of a removal: two states and two proofs, of at most 256 hashes each."""


def growth_of(
    db: Db,
    change: VerifiedCommit,
    before: Mapping[bytes, StoredNode],
    gone_from: Collection[bytes],
    goes: Removed | None = None,
) -> Stored:
    """Return what a verified commit adds, at most; nothing of it is stored yet.

    `before` has the existing nodes of the commit, `gone_from` the nodes that are removed, `goes`
    what is below these, if that is known.
    """
    new = sum(node not in before for node in change.manifests)
    first = (state for state in change.states.values() if state.body.version == 1)
    records = size_of(manifest.signed.payload for manifest in change.manifests.values())
    records += size_of(state.signed.payload for state in first)
    records += size_of(one.members.signed.payload for one in change.lists.values())
    records += size_of(sealed for one in change.lists.values() for sealed in one.sealed.values())
    replaced = len(change.states) + len(change.manifests) - new + len(change.lists)
    records += _REPLACED * replaced + _REMOVAL * len(gone_from)
    return Stored(new, records, _kept(db, change, before, gone_from, goes))


def touched_nodes(
    db: Db, change: VerifiedCommit, before: Mapping[bytes, StoredNode], tops: Sequence[bytes]
) -> set[bytes]:
    """Return the existing nodes whose change affects a quota.

    `tops` are the nodes that are removed or restored, with everything below them.
    """
    return set(change.changed(before)) | set(nodes.below(db, tops) if tops else ())


def _kept(
    db: Db,
    change: VerifiedCommit,
    before: Mapping[bytes, StoredNode],
    gone_from: Collection[bytes],
    goes: Removed | None,
) -> int:
    """Return the sealed bytes that become older versions or removed files."""
    roots = [
        row.blob
        for row in before.values()
        if (manifest := change.manifests.get(NodeId(row.id))) is not None
        and row.blob
        and (manifest.body.content is None or manifest.body.content.root != row.blob)
    ]
    size = sum(held.size for held in blobs.held(db, roots).values()) if roots else 0
    if goes is not None:
        size += goes.held.size
    elif gone_from:
        size += quotas.of_nodes(db, nodes.below(db, list(gone_from))).size
    return size
