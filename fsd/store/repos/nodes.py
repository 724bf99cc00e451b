"""Queries on nodes, their manifests, and folder states."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, select, update
from sqlalchemy import insert as insert_into
from sqlalchemy.orm import Session as Db

from fsd.store.models import FolderState, Manifest, Node
from fsd.store.repos.many import helpings
from fsproto.sealed.folder import VerifiedState
from fsproto.sealed.manifest import VerifiedManifest
from fsproto.sealed.prefixtree import Entry
from fsproto.sealed.signed import Signed
from fsproto.types import NO_NODE, Hash, NodeId, Token


def get(db: Db, node: bytes) -> Node | None:
    """Return one node."""
    return db.get(Node, node)


_AS_IS = {"synchronize_session": False}
"""Rows that a session holds already are not looked up and changed as well."""


def get_all(db: Db, ids: Iterable[bytes]) -> dict[bytes, Node]:
    """Return those of the nodes that exist, by id."""
    return {
        node.id: node
        for some in helpings(list(ids))
        for node in db.scalars(select(Node).where(Node.id.in_(some)))
    }


def entries(db: Db, folder: bytes) -> list[Entry]:
    """Return what a folder holds."""
    rows = db.execute(
        select(Node.token, Node.id, Node.manifest_hash).where(Node.parent_id == folder)
    )
    return [Entry(Token(t), NodeId(n), Hash(h)) for t, n, h in rows if t is not None]


def listing(db: Db, folder: bytes) -> list[Signed]:
    """Return the manifests of everything in a folder, in the order of the tokens."""
    rows = db.execute(
        select(Manifest.payload, Manifest.signature)
        .join(Node, (Node.id == Manifest.node_id) & (Node.version == Manifest.version))
        .where(Node.parent_id == folder)
        .order_by(Node.token)
    )
    return [Signed(payload, signature) for payload, signature in rows]


def manifests(db: Db, ids: Sequence[bytes]) -> list[Signed]:
    """Return the current manifests of nodes, in the order asked for."""
    found: dict[bytes, Signed] = {}
    for some in helpings(ids):
        rows = db.execute(
            select(Node.id, Manifest.payload, Manifest.signature)
            .join(Manifest, (Node.id == Manifest.node_id) & (Node.version == Manifest.version))
            .where(Node.id.in_(some))
        )
        found |= {node: Signed(payload, signature) for node, payload, signature in rows}
    return [found[node] for node in ids if node in found]


def state(db: Db, folder: bytes) -> FolderState:
    """Return a folder's state."""
    return db.scalars(select(FolderState).where(FolderState.folder_id == folder)).one()


def states_for_update(db: Db, folders: Iterable[bytes]) -> dict[bytes, FolderState]:
    """Return the states of folders that exist, held against other writers until the end.

    Always taken in the same order, so that two writers cannot wait for each other.
    """
    wanted = select(FolderState).where(FolderState.folder_id.in_(sorted(folders)))
    locked = wanted.order_by(FolderState.folder_id).with_for_update()
    return {row.folder_id: row for row in db.scalars(locked)}


def signed(state: FolderState) -> Signed:
    """Return a stored state as it was signed."""
    return Signed(state.payload, state.signature)


def put_state(db: Db, state: VerifiedState) -> None:
    """Store a folder's new state in place of its old one."""
    values = {
        "version": state.body.version,
        "hash": state.hash,
        "payload": state.signed.payload,
        "signature": state.signed.signature,
    }
    if state.body.version == 1:
        db.execute(insert_into(FolderState).values(folder_id=state.body.folder, **values))
    else:
        db.execute(
            update(FolderState).where(FolderState.folder_id == state.body.folder).values(**values)
        )


def insert(db: Db, owner_id: int, manifest: VerifiedManifest, blob: bytes | None) -> None:
    """Store one new node."""
    insert_all(db, owner_id, [(manifest, blob)])


def insert_all(db: Db, owner_id: int, new: Sequence[tuple[VerifiedManifest, bytes | None]]) -> None:
    """Store new nodes, each with the root of its content."""
    if not new:
        return
    db.execute(
        insert_into(Node),
        [{"id": m.body.node, "owner_id": owner_id} | _columns(m, blob) for m, blob in new],
    )
    _insert_manifests(db, [m for m, _ in new])


def replace_all(db: Db, changed: Sequence[tuple[VerifiedManifest, bytes | None]]) -> None:
    """Store the next versions of nodes; the manifests before them go."""
    for manifest, blob in changed:
        body = manifest.body
        db.execute(
            update(Node).where(Node.id == body.node).values(**_columns(manifest, blob)),
            execution_options=_AS_IS,
        )
    for some in helpings([m.body.node for m, _ in changed]):
        db.execute(delete(Manifest).where(Manifest.node_id.in_(some)), execution_options=_AS_IS)
    _insert_manifests(db, [m for m, _ in changed])


def unplace(db: Db, ids: Sequence[bytes]) -> None:
    """Take nodes out of their folders, so that others can have their names."""
    for some in helpings(ids):
        db.execute(
            update(Node).where(Node.id.in_(some)).values(parent_id=None, token=None),
            execution_options=_AS_IS,
        )


def ancestors(db: Db, node: bytes, limit: int) -> list[bytes]:
    """Return the folders a node lies in, nearest first, at most `limit` of them."""
    found: list[bytes] = []
    while len(found) < limit:
        parent = db.scalar(select(Node.parent_id).where(Node.id == node))
        if parent is None:
            break
        found.append(parent)
        node = parent
    return found


def below(db: Db, tops: Sequence[bytes]) -> list[bytes]:
    """Return these nodes and everything under them."""
    found, level = list(tops), list(tops)
    while level:
        level = [
            child
            for some in helpings(level)
            for child in db.scalars(select(Node.id).where(Node.parent_id.in_(some)))
        ]
        found += level
    return found


def drop(db: Db, ids: Sequence[bytes]) -> None:
    """Delete nodes with their manifests and states."""
    for some in helpings(ids):
        db.execute(delete(Node).where(Node.id.in_(some)), execution_options=_AS_IS)


def _columns(manifest: VerifiedManifest, blob: bytes | None) -> dict[str, object]:
    body = manifest.body
    at_root = body.parent == NO_NODE
    return {
        "parent_id": None if at_root else body.parent,
        "token": None if at_root else body.token,
        "kind": int(body.kind),
        "version": body.version,
        "manifest_hash": manifest.hash,
        "blob": blob,
    }


def _insert_manifests(db: Db, manifests: Sequence[VerifiedManifest]) -> None:
    rows = [
        {
            "node_id": m.body.node,
            "version": m.body.version,
            "payload": m.signed.payload,
            "signature": m.signed.signature,
        }
        for m in manifests
    ]
    if rows:
        db.execute(insert_into(Manifest), rows)
