"""Queries on nodes, their manifests, and folder states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import BindParameter, bindparam, delete, exc, func, literal, select, update
from sqlalchemy import insert as insert_into
from sqlalchemy.orm import Session as Db

from fsd.store.models import FolderState, Manifest, Node, table
from fsd.store.repos.many import SOME, for_each, helpings, of_some, run, scalar, stream
from fsproto.errors import ConflictError, IntegrityError, RemoteProtocolError
from fsproto.limits import PART_BYTES
from fsproto.packing import unpack
from fsproto.proofs.prefix_tree import FolderEntry
from fsproto.sealed.folder import VerifiedState
from fsproto.sealed.manifest import Manifest as ManifestBody
from fsproto.sealed.manifest import NodeKind, VerifiedManifest, manifest_hash
from fsproto.signed import Signed
from fsproto.types import NO_NODE, Hash, NodeId, Token

_NODES, _MANIFESTS, _STATES = table(Node), table(Manifest), table(FolderState)
_OF: BindParameter[bytes] = bindparam("of")
_NEW_NODE, _NEXT_NODE = insert_into(_NODES), update(_NODES).where(_NODES.c.id == _OF)
_NEW_MANIFEST = insert_into(_MANIFESTS)
_FORGET = delete(_MANIFESTS).where(
    _MANIFESTS.c.node_id == _OF, _MANIFESTS.c.version == bindparam("old")
)
_FIRST_STATE = insert_into(_STATES).values(folder_id=_OF)
_NEXT_STATE = update(_STATES).where(_STATES.c.folder_id == _OF)


class StoredNode(NamedTuple):
    """A file or folder; the columns of `Node`."""

    id: bytes
    owner_id: int
    parent_id: bytes | None
    token: bytes | None
    kind: int
    generation: int
    version: int
    manifest_hash: bytes
    next_lineage: bytes
    blob: bytes | None
    removed_ms: int | None
    removed_from: bytes | None


_THEMSELVES = select(*(_NODES.c[name] for name in StoredNode._fields)).where(_NODES.c.id.in_(SOME))


def get(db: Db, node: bytes) -> StoredNode | None:
    """Return one node."""
    return get_all(db, [node]).get(node)


def get_all(db: Db, ids: Iterable[bytes]) -> dict[bytes, StoredNode]:
    """Return those of the nodes that exist, by id."""
    return {row[0]: StoredNode._make(row) for row in of_some(db, _THEMSELVES, ids)}


_HELD_NODES = select(_NODES.c.id).where(_NODES.c.id.in_(SOME)).order_by(_NODES.c.id)
_HELD_NODES = _HELD_NODES.with_for_update()


def hold(db: Db, ids: Iterable[bytes]) -> None:
    """Lock nodes until the end of the transaction."""
    for _ in of_some(db, _HELD_NODES, sorted(ids)):
        pass


_AS_IS = {"synchronize_session": False}
"""Rows that a database session has loaded are not changed in memory as well."""


_CURRENT = (_NODES.c.id == _MANIFESTS.c.node_id) & (_NODES.c.version == _MANIFESTS.c.version)
_ENTRIES = select(_NODES.c.token, _NODES.c.id, _NODES.c.manifest_hash).where(
    _NODES.c.parent_id == bindparam("folder")
)
_INDEX = (
    select(_NODES.c.id, _NODES.c.manifest_hash, func.length(_MANIFESTS.c.payload))
    .join(_MANIFESTS, _CURRENT)
    .where(_NODES.c.parent_id == bindparam("folder"))
    .order_by(_NODES.c.token)
)
_SOME_MANIFESTS = (
    select(_NODES.c.id, _NODES.c.manifest_hash, _MANIFESTS.c.payload, _MANIFESTS.c.signature)
    .join(_MANIFESTS, _CURRENT)
    .where(_NODES.c.id.in_(SOME))
)
_ALL_MANIFESTS = select(_MANIFESTS.c.payload, _MANIFESTS.c.signature).where(
    _MANIFESTS.c.node_id.in_(SOME)
)


def entries(db: Db, folder: bytes) -> list[FolderEntry]:
    """Return the entries of a folder."""
    rows = run(db, _ENTRIES, folder=folder)
    return [FolderEntry(Token(t), NodeId(n), Hash(h)) for t, n, h in rows if t is not None]


def index(db: Db, folder: bytes) -> Iterator[bytes]:
    """Yield the present manifests of a folder in the order of the tokens, in a compact form.

    Each item names as many manifests as fit into one message.
    """
    page, size = bytearray(), 0
    for node, manifest, length in stream(db, _INDEX, folder=folder):
        if size + length > PART_BYTES and page:
            yield bytes(page)
            page, size = bytearray(), 0
        page += node + manifest
        size += length
    if page:
        yield bytes(page)


def indexed(db: Db, page: bytes) -> list[Signed]:
    """Return the manifests of one item of an index.

    `ConflictError` if one was replaced or removed since, and is not kept.
    """
    wanted = {page[at : at + 16]: page[at + 16 : at + 48] for at in range(0, len(page), 48)}
    rows = of_some(db, _SOME_MANIFESTS, wanted)
    found = {node: Signed(p, s) for node, current, p, s in rows if current == wanted[node]}
    if replaced := [node for node in wanted if node not in found]:
        hashes = {wanted[node] for node in replaced}
        older = (Signed(p, s) for p, s in of_some(db, _ALL_MANIFESTS, replaced))
        by_hash = {of: one for one in older if (of := manifest_hash(one)) in hashes}
        try:
            found |= {node: by_hash[Hash(wanted[node])] for node in replaced}
        except KeyError:
            raise ConflictError(
                "The folder was changed while it was listed.", hint="Try again."
            ) from None
    return [found[node] for node in wanted]


def manifests(db: Db, ids: Sequence[bytes], most: int | None = None) -> list[Signed]:
    """Return the current manifests of nodes, in the order of `ids`.

    `RemoteProtocolError` if they have more than `most` bytes; no more of them are read.
    """
    found, size = dict[bytes, Signed](), 0
    for node, _, payload, signature in of_some(db, _SOME_MANIFESTS, ids):
        found[node] = Signed(payload, signature)
        size += len(payload)
        if most is not None and size > most:
            raise RemoteProtocolError(
                "One answer cannot hold everything that was requested at once."
            )
    return [found[node] for node in ids if node in found]


def bodies(db: Db, ids: Sequence[NodeId]) -> dict[NodeId, ManifestBody]:
    """Return the content of the current manifests of nodes."""
    found = (unpack(one.payload, ManifestBody) for one in manifests(db, ids))
    return {body.node: body for body in found}


class StoredState(NamedTuple):
    """A folder's state as it was committed."""

    folder_id: bytes
    version: int
    hash: bytes
    next_lineage: bytes
    payload: bytes
    signature: bytes
    entries: int | None
    """Number of entries, if the folder's tree is in pages."""


_SOME_STATES = select(*(_STATES.c[name] for name in StoredState._fields)).where(
    _STATES.c.folder_id.in_(SOME)
)
_FOR_UPDATE = _SOME_STATES.order_by(_STATES.c.folder_id).with_for_update()


def state(db: Db, folder: bytes) -> StoredState:
    """Return a folder's state; `IntegrityError` if the database has lost it."""
    found = list(of_some(db, _SOME_STATES, [folder]))
    if not found:
        raise IntegrityError(
            "The server has lost the state of this folder.",
            hint="Ask your administrator to run 'fsadmin check', and to restore a backup.",
        )
    return StoredState._make(found[0])


def states_for_update(db: Db, folders: Iterable[bytes]) -> dict[bytes, StoredState]:
    """Return the states of folders that exist, locked until the end of the transaction.

    The locks are always taken in the same order, so that no deadlock arises.
    """
    rows = of_some(db, _FOR_UPDATE, sorted(folders))
    return {row[0]: StoredState._make(row) for row in rows}


def signed(state: StoredState) -> Signed:
    """Return a stored state as it was signed."""
    return Signed(state.payload, state.signature)


NO_CHANGE = 0
"""The number of a state that no session follows: after new keys, all other sessions end."""


def put_states(db: Db, states: Sequence[VerifiedState], owner_id: int, change: int) -> None:
    """Store folders' states; each replaces the earlier state of its folder.

    `change` is the number of the change (`quotas.next_change`).
    """
    rows: list[dict[str, object]] = [
        {
            "of": state.body.folder,
            "version": state.body.version,
            "hash": state.hash,
            "next_lineage": state.point.next_lineage,
            "payload": state.signed.payload,
            "signature": state.signed.signature,
            "owner_id": owner_id,
            "changed": change,
        }
        for state in states
    ]
    for_each(db, _FIRST_STATE, [row for row in rows if row["version"] == 1])
    for_each(db, _NEXT_STATE, [row for row in rows if row["version"] != 1])


def insert_all(db: Db, owner_id: int, new: Sequence[VerifiedManifest]) -> None:
    """Store new nodes; `ConflictError` if one of them is there already."""
    try:
        for_each(db, _NEW_NODE, [{"owner_id": owner_id} | _columns(m) for m in new])
    except exc.IntegrityError:
        raise ConflictError("It was changed by another person in the meantime.") from None
    _insert_manifests(db, new)


def replace_all(
    db: Db,
    changed: Sequence[VerifiedManifest],
    *,
    forget: Sequence[NodeId],
    forget_versions: Iterable[tuple[NodeId, int]],
) -> None:
    """Store the next versions of nodes.

    Delete all earlier manifests of the nodes in `forget`, and each manifest in `forget_versions`.
    """
    for_each(
        db,
        _NEXT_NODE,
        [{"of": (row := _columns(m)).pop("id"), **row} for m in changed],
    )
    for some in helpings(forget):
        db.execute(delete(Manifest).where(Manifest.node_id.in_(some)), execution_options=_AS_IS)
    for_each(db, _FORGET, [{"of": node, "old": version} for node, version in forget_versions])
    _insert_manifests(db, changed)


def unplace(db: Db, ids: Sequence[bytes]) -> None:
    """Remove nodes from their folders, so that other nodes can take their names."""
    for some in helpings(ids):
        db.execute(
            update(Node).where(Node.id.in_(some)).values(parent_id=None, token=None),
            execution_options=_AS_IS,
        )


_ITSELF = select(_NODES.c.id, _NODES.c.parent_id, literal(0).label("level"))
_UP = _ITSELF.where(_NODES.c.id == _OF).cte("up", recursive=True)
_UP = _UP.union_all(
    select(_NODES.c.id, _NODES.c.parent_id, _UP.c.level + 1)
    .join(_UP, _NODES.c.id == _UP.c.parent_id)
    .where(_UP.c.level < bindparam("limit"))
)
_ABOVE = select(_UP.c.id).where(_UP.c.level > 0).order_by(_UP.c.level)


def ancestors(db: Db, node: bytes, limit: int) -> list[bytes]:
    """Return the folders above a node, nearest first, at most `limit` of them."""
    return [above for (above,) in run(db, _ABOVE, of=node, limit=limit)]


def height(db: Db, folder: bytes, limit: int) -> int:
    """Return the number of levels below a folder; more than `limit` if there are more."""
    level, found = [folder], 0
    while found <= limit:
        below_it = [
            child
            for some in helpings(level)
            for child in db.scalars(
                select(Node.id).where(Node.parent_id.in_(some), Node.kind == NodeKind.FOLDER)
            )
        ]
        if not below_it:
            break
        level, found = below_it, found + 1
    # Only what is in the deepest folders can be deeper than they are.
    files = (
        db.scalars(select(Node.id).where(Node.parent_id.in_(some)).limit(1)).first()
        for some in helpings(level)
    )
    return found + any(one is not None for one in files)


_AT = select(_NODES.c.id).where(
    _NODES.c.parent_id == bindparam("folder"), _NODES.c.token == bindparam("token")
)


def at(db: Db, places: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the nodes at some places, each a folder and a token."""
    found = (scalar(db, _AT, folder=folder, token=token) for folder, token in places)
    return [node for node in found if node is not None]


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


def _columns(manifest: VerifiedManifest) -> dict[str, object]:
    body = manifest.body
    at_root = body.parent == NO_NODE
    return {
        "id": body.node,
        "parent_id": None if at_root else body.parent,
        "token": None if at_root else body.token,
        "kind": int(body.kind),
        "generation": body.generation,
        "version": body.version,
        "manifest_hash": manifest.hash,
        "next_lineage": manifest.point.next_lineage,
        "blob": body.content.root if body.content else None,
    }


def _insert_manifests(db: Db, manifests: Sequence[VerifiedManifest]) -> None:
    for_each(
        db,
        _NEW_MANIFEST,
        [
            {
                "node_id": m.body.node,
                "version": m.body.version,
                "payload": m.signed.payload,
                "signature": m.signed.signature,
            }
            for m in manifests
        ],
    )
