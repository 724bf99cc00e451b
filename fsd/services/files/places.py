"""How deep in its tree a node may be.

Checked only for nodes that are new or get another parent. So a change of what exists, such as a new
key, is never refused because of its depth.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.orm import Session as Db

from fsd.services.files.commit_checks import VerifiedCommit
from fsd.store.repos import nodes
from fsd.store.repos.nodes import StoredNode
from fsproto.errors import NotAllowedError
from fsproto.limits import MAX_PATH_PARTS
from fsproto.sealed.manifest import NodeKind
from fsproto.types import NodeId


def placed_nodes(change: VerifiedCommit, before: Mapping[bytes, StoredNode]) -> list[NodeId]:
    """Return the nodes of a change that are new, moved to another folder, or restored."""
    return [
        node
        for node, manifest in change.manifests.items()
        if (row := before.get(node)) is None or row.parent_id != manifest.body.parent
    ]


def check_places(db: Db, change: VerifiedCommit, placed: list[NodeId]) -> None:
    """Refuse nodes that are inside themselves, or too deep; `db` has the change already.

    A node has at most 128 names on its path from the root of the tree, with everything below it.
    """
    depths: dict[NodeId, int] = {}
    for node in placed:
        manifest = change.manifests[node]
        depth = 1 + _depth(db, change, manifest.body.parent, depths)
        if manifest.body.version > 1 and manifest.body.kind is NodeKind.FOLDER:
            depth += nodes.height(db, node, MAX_PATH_PARTS)
        if depth > MAX_PATH_PARTS:
            raise _too_deep()


def _depth(db: Db, change: VerifiedCommit, folder: NodeId, depths: dict[NodeId, int]) -> int:
    """Return the number of folders above a folder; `depths` remembers those of earlier calls."""
    way: list[NodeId] = []
    while folder not in depths:
        if folder in way:
            raise NotAllowedError("A folder cannot be moved into itself.")
        way.append(folder)
        if folder not in change.manifests:
            above = nodes.ancestors(db, folder, MAX_PATH_PARTS + 1)
            depths[folder] = len(above)
            if any(one in way for one in above):
                raise NotAllowedError("A folder cannot be moved into itself.")
            break
        folder = change.manifests[folder].body.parent
    depth = depths[folder]
    for one in reversed(way):
        depths[one] = depth = depths.get(one, depth + 1)
    return depth


def _too_deep() -> NotAllowedError:
    return NotAllowedError(
        f"That would be more than {MAX_PATH_PARTS} folders deep.",
        hint="Put it into a higher folder.",
    )
