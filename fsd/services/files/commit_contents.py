"""The contents of files in a commit: small ones in it, large ones that were uploaded before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy.orm import Session as Db

from fsd.principal import Principal
from fsd.services.files.commit_checks import VerifiedCommit, check_content
from fsd.store.repos import blobs as blob_rows
from fsd.store.repos import versions
from fsd.store.repos.blobs import HeldBlob
from fsd.store.repos.nodes import StoredNode
from fsproto.errors import NotFoundError, RemoteProtocolError
from fsproto.messages.files import InlineBlob
from fsproto.types import Root


def store_small(
    db: Db,
    owner_id: int,
    blobs: Iterable[tuple[tuple[bytes, InlineBlob], bytes | None]],
    now_ms: int,
) -> None:
    """Store small blobs, each with its node if the node exists already."""
    rows: list[dict[str, object]] = [
        {
            "root": root,
            "owner_id": owner_id,
            "node_id": node,
            "salt": blob.salt,
            "size": len(blob.data),
            "created_ms": now_ms,
            "data": blob.data,
        }
        for (root, blob), node in blobs
    ]
    blob_rows.add_all(db, rows)


def take_contents(
    db: Db,
    who: Principal,
    owner_id: int,
    change: VerifiedCommit,
    before: Mapping[bytes, StoredNode],
    *,
    now_ms: int,
) -> None:
    """Assign its blob to each file of the change; refuse content that does not exist.

    `before` has the nodes that exist already. Raises `NotFoundError` for a version that is no
    longer kept, and the errors of `check_content`.
    """
    wanted = {n: m.body.content for n, m in change.manifests.items() if m.body.content}
    owners = {content.root: node for node, content in wanted.items()}
    if len(owners) != len(wanted):
        raise RemoteProtocolError("Two files of one commit name the same content.")
    # Blobs sent with the commit are new, unless an earlier attempt of it was refused.
    known = blob_rows.known(db, list(change.blobs))
    came = {root: blob for root, blob in change.blobs.items() if root not in known}
    held = blob_rows.held(db, [root for root in owners if root not in came])
    for root, blob in came.items():
        held[root] = HeldBlob(who.user_id, None, blob.salt, len(blob.data))
    for node, content in wanted.items():
        check_content(who, change.manifests[node], held.get(content.root), before.get(node))
    again = [
        root
        for root, node in owners.items()
        if root in held and held[root].node_id is not None and before[node].blob != root
    ]
    if again and not versions.is_newest_again(db, again):
        raise NotFoundError("That version is no longer kept.")
    store_small(db, owner_id, [(blob, owners.get(Root(blob[0]))) for blob in came.items()], now_ms)
    staged: dict[bytes, bytes] = {root: node for root, node in owners.items() if root not in came}
    blob_rows.assign(db, owner_id, staged)
