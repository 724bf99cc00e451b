"""Manifests and folder states of a commit: stored, and what they replace is kept or let go."""

from __future__ import annotations

from sqlalchemy.orm import Session as Db

from fsd.services.files.commit_checks import VerifiedCommit
from fsd.store.engine import note_change
from fsd.store.repos import blobs as blob_rows
from fsd.store.repos import lineages, links, nodes, quotas, versions
from fsd.store.repos.nodes import StoredNode
from fsd.store.repos.quotas import HeldQuota
from fsd.store.repos.versions import MAX_CHAIN
from fsproto.messages.history import Lineal
from fsproto.sealed.manifest import NodeKind


def write_nodes(
    db: Db,
    owner_id: int,
    change: VerifiedCommit,
    before: dict[bytes, StoredNode],
    quota: HeldQuota | None,
    *,
    keep: int,
) -> list[str]:
    """Store manifests and states; return the places of blobs no longer kept.

    `keep` is how many older versions of a file are kept.
    """
    replaced: list[tuple[bytes, bytes, int]] = []
    for node, manifest in change.manifests.items():
        row, content = before.get(node), manifest.body.content
        if row is not None and row.blob and (content is None or row.blob != content.root):
            replaced.append((node, row.blob, manifest.body.version))
    manifests = change.manifests.values()
    nodes.insert_all(db, owner_id, [m for m in manifests if m.body.node not in before])
    changed = [m for m in manifests if m.body.node in before]
    forget = [m.body.node for m in changed if not keep and m.body.kind is NodeKind.FILE]
    # The last manifest under each key of a folder stays: if a member replaces the keys by
    # false ones, only it leads to what is in the folder.
    same_key = [
        (m.body.node, m.body.version - 1)
        for m in changed
        if m.body.kind is NodeKind.FOLDER and m.body.generation == before[m.body.node].generation
    ]
    rows = (before[manifest.body.node] for manifest in changed)
    older = [(row.id, row.version, row.manifest_hash) for row in rows]
    lineages.keep(db, Lineal.MANIFEST, older)
    nodes.replace_all(db, changed, forget=forget, forget_versions=same_key)
    number = quotas.next_change(quota)
    if quota is not None:
        note_change(db, quota.user_id)
    nodes.put_states(db, list(change.states.values()), owner_id, number)
    if not keep:
        linked = links.linked(db, [root for _, root, _ in replaced])
        versions.keep_older(db, [one for one in replaced if one[1] in linked])
        return blob_rows.drop(db, [root for _, root, _ in replaced if root not in linked])
    versions.keep_older(db, replaced)
    newest: dict[bytes, int] = {node: until for node, _, until in replaced}
    newest |= {
        m.body.node: m.body.version
        for m in changed
        if m.body.version > MAX_CHAIN and m.body.kind is NodeKind.FILE
    }
    return versions.trim(db, newest, keep)
