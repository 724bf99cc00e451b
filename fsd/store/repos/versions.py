"""Queries on older versions of files and on removed nodes, which can be restored.

The kept manifests of a node have no gap, so that each is authenticated by the next one. Deletion
always starts with the oldest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session as Db

from fsd.store.models import Grant, Manifest, Node, OlderContent, Removal, table
from fsd.store.repos import blobs, links, nodes
from fsd.store.repos.many import SOME, for_each, helpings, of_some
from fsproto.sealed.manifest import NodeKind
from fsproto.signed import Signed

MAX_CHAIN = 512
"""Largest number of kept manifests of a node; without it, repeated renames would add up."""

_PAGE = 50
"""Manifests that are read at a time; one has up to 50 KiB."""
_NODES, _MANIFESTS, _GRANTS = table(Node), table(Manifest), table(Grant)
_OLDER, _REMOVALS = table(OlderContent), table(Removal)
_REPLACED = insert(_OLDER)
_MANY = (
    select(_OLDER.c.node_id)
    .where(_OLDER.c.node_id.in_(SOME))
    .group_by(_OLDER.c.node_id)
    .having(func.count() > bindparam("keep"))
)
# Locked, for a concurrent commit may make an older content the newest again.
_OF_NODES = (
    select(_OLDER.c.node_id, _OLDER.c.root, _OLDER.c.until)
    .where(_OLDER.c.node_id.in_(SOME))
    .order_by(_OLDER.c.root)
    .with_for_update()
)
_FORGET = delete(_MANIFESTS).where(
    _MANIFESTS.c.node_id == bindparam("of"), _MANIFESTS.c.version < bindparam("cut")
)
_LEAVE = (
    update(_NODES).where(_NODES.c.id == bindparam("of")).values(removed_from=bindparam("was_in"))
)
_NEW_REMOVAL = insert(_REMOVALS)
_AS_IS = {"synchronize_session": False}
DOOMED = b"deleted"
"""What `Node.removed_from` has once the deletion is final; ids of nodes have another length."""
PIECE = 2000
"""Nodes that one transaction deletes, or marks as removed: it takes about a tenth of a second."""
_TOPS = 100
_IN_TRASH = Node.removed_from.is_not(None), Node.removed_from != DOOMED
_SOME_NODES = select(_NODES.c.id, _NODES.c.kind).limit(bindparam("most"))
_CHILDREN = _SOME_NODES.where(_NODES.c.parent_id == bindparam("of"))
_REMOVED_CHILDREN = _SOME_NODES.where(_NODES.c.removed_from == bindparam("of"))


# --- older versions


def keep_older(db: Db, replaced: Iterable[tuple[bytes, bytes, int]]) -> None:
    """Record replaced contents: node, root, and the version of the node that replaced them."""
    rows: list[dict[str, object]] = [
        {"root": root, "node_id": node, "until": until} for node, root, until in replaced
    ]
    for_each(db, _REPLACED, rows)


def is_newest_again(db: Db, roots: Sequence[bytes]) -> bool:
    """Record that older contents are the newest again; False if one was deleted."""
    held = select(OlderContent.root).where(OlderContent.root.in_(roots)).with_for_update()
    if len(db.scalars(held.order_by(OlderContent.root)).all()) != len(roots):
        return False
    db.execute(delete(OlderContent).where(OlderContent.root.in_(roots)), execution_options=_AS_IS)
    return True


def trim(db: Db, newest: Mapping[bytes, int], keep: int) -> list[str]:
    """Keep at most `keep` older contents of each node; `newest` has the nodes' newest versions.

    Contents that a public link opens are kept in addition.
    Return the places that the blob store must empty.
    """
    many = [node for (node,) in of_some(db, _MANY, newest, keep=keep)]
    long = {node: version - MAX_CHAIN for node, version in newest.items() if version > MAX_CHAIN}
    return _cut(db, many, keep, {node: version + 1 for node, version in long.items()})


def with_too_many(db: Db, keep: int) -> list[bytes]:
    """Return all nodes with more than `keep` older contents: the setting may have been lowered."""
    many = select(OlderContent.node_id).group_by(OlderContent.node_id)
    return list(db.scalars(many.having(func.count() > keep)))


def trim_some(db: Db, many: Sequence[bytes], keep: int) -> list[str]:
    """Trim nodes from `with_too_many`; return the places that must be emptied."""
    return _cut(db, many, keep, {})


def _cut(db: Db, many: Sequence[bytes], keep: int, cuts: dict[bytes, int]) -> list[str]:
    """Delete manifests before a version, and the contents that only they name.

    `cuts` is the oldest version to keep, by node; the nodes in `many` have too many contents.
    """
    older: dict[bytes, list[tuple[int, bytes]]] = {}
    for node, root, until in of_some(db, _OF_NODES, {*many, *cuts}):
        older.setdefault(node, []).append((until, root))
    for node in many:
        if len(older.get(node, ())) <= keep:
            continue
        # The manifest that replaced the newest of the deleted contents is the oldest to stay.
        until, _ = sorted(older[node], reverse=True)[keep]
        cuts[node] = max(until, cuts.get(node, 0))
    for_each(db, _FORGET, [{"of": node, "cut": cut} for node, cut in cuts.items()])
    gone = [
        root for node, cut in cuts.items() for until, root in older.get(node, ()) if until <= cut
    ]
    linked = links.linked(db, gone)
    return blobs.drop(db, [root for root in gone if root not in linked])


class OlderManifest(NamedTuple):
    """A kept manifest of an older version."""

    version: int
    signed: Signed


def before(db: Db, node: bytes, version: int) -> list[OlderManifest]:
    """Return some of a node's manifests before a version, newest first; none before the oldest."""
    rows = db.execute(
        select(Manifest.version, Manifest.payload, Manifest.signature)
        .where(Manifest.node_id == node, Manifest.version < version)
        .order_by(Manifest.version.desc())
        .limit(_PAGE)
    )
    return [
        OlderManifest(version, Signed(payload, signature)) for version, payload, signature in rows
    ]


# --- removed nodes


class Departure(NamedTuple):
    """The removal of a node from its folder."""

    node: bytes
    folder: bytes
    before: Signed
    """The folder's state that still has it, and the proof of that."""
    before_proof: bytes
    after: Signed
    """The next state, which no longer has the node, and the proof of that."""
    after_proof: bytes


def set_aside(
    db: Db, departures: Sequence[Departure], now_ms: int, below: Sequence[bytes] | None = None
) -> None:
    """Mark nodes that left their folders as removed, with everything below them.

    Their public links end. `below` has all these nodes; None: they are looked for.
    """
    if below is None:
        below = nodes.below(db, [one.node for one in departures])
    mark_removed(db, below, now_ms)
    for_each(db, _LEAVE, [{"of": one.node, "was_in": one.folder} for one in departures])
    for_each(db, _NEW_REMOVAL, [_removal(one) for one in departures])


def mark_removed(db: Db, ids: Sequence[bytes], now_ms: int) -> None:
    """Mark nodes as removed, and end their public links and the grants to members."""
    links.end_of_nodes(db, ids)
    for some in helpings(ids):
        hidden = update(Node).where(Node.id.in_(some)).values(removed_ms=now_ms)
        db.execute(hidden, execution_options=_AS_IS)
        # The member lists stay: they show which users may have signed the contents.
        db.execute(delete(Grant).where(Grant.node_id.in_(some)), execution_options=_AS_IS)


def _removal(one: Departure) -> dict[str, object]:
    return {
        "node_id": one.node,
        "before_payload": one.before.payload,
        "before_signature": one.before.signature,
        "before_proof": one.before_proof,
        "after_payload": one.after.payload,
        "after_signature": one.after.signature,
        "after_proof": one.after_proof,
    }


def bring_back(db: Db, tops: Sequence[bytes]) -> None:
    """Restore removed nodes that have a place again, with everything below them."""
    for some in helpings(nodes.below(db, tops)):
        back = update(Node).where(Node.id.in_(some)).values(removed_ms=None, removed_from=None)
        db.execute(back, execution_options=_AS_IS)
    for some in helpings(tops):
        db.execute(delete(Removal).where(Removal.node_id.in_(some)), execution_options=_AS_IS)


class RemovedRow(NamedTuple):
    """A row of the list of removed nodes."""

    manifest: Signed
    before: Signed
    before_proof: bytes
    after: Signed
    after_proof: bytes


def removed_from(db: Db, folder: bytes, skip: int, limit: int) -> list[RemovedRow]:
    """Return the nodes removed from a folder, latest first, without the first `skip`."""
    rows = db.execute(
        select(Manifest.payload, Manifest.signature, Removal)
        .join(Node, (Node.id == Manifest.node_id) & (Node.version == Manifest.version))
        .join(Removal, Removal.node_id == Node.id)
        .where(Node.removed_from == folder)
        .order_by(Node.removed_ms.desc(), Node.id)
        .offset(skip)
        .limit(limit)
    )
    return [
        RemovedRow(
            Signed(payload, signature),
            Signed(row.before_payload, row.before_signature),
            row.before_proof,
            Signed(row.after_payload, row.after_signature),
            row.after_proof,
        )
        for payload, signature, row in rows
    ]


def removed_before(db: Db, time_ms: int) -> list[bytes]:
    """Return the nodes removed at or before a time, without the nodes below them."""
    old = select(Node.id).where(*_IN_TRASH, Node.removed_ms <= time_ms)
    return list(db.scalars(old))


class RemovedTop(NamedTuple):
    """A node that was itself removed; its row is locked."""

    id: bytes
    owner_id: int
    version: int
    removed_ms: int | None

    def removed_by(self, time_ms: int) -> bool:
        """Return whether it was removed at or before a time."""
        return self.removed_ms is not None and self.removed_ms <= time_ms


def hold_removed(db: Db, ids: Sequence[bytes]) -> list[RemovedTop]:
    """Lock those of the nodes that were themselves removed and are kept."""
    rows = db.execute(
        select(Node.id, Node.owner_id, Node.version, Node.removed_ms)
        .where(Node.id.in_(ids), *_IN_TRASH)
        .order_by(Node.id)
        .with_for_update()
    )
    return [RemovedTop(*row) for row in rows]


# --- deletion for good, in pieces


def doom(db: Db, tops: Sequence[bytes]) -> None:
    """Make it final that removed nodes are deleted: from now on, nobody sees or restores them.

    They are deleted in pieces, so that other transactions find their turn in between.
    """
    for some in helpings(tops):
        final = update(Node).where(Node.id.in_(some)).values(removed_from=DOOMED)
        db.execute(final, execution_options=_AS_IS)
        db.execute(delete(Removal).where(Removal.node_id.in_(some)), execution_options=_AS_IS)


def doomed(db: Db) -> list[bytes]:
    """Return some nodes that must be deleted with everything below them, and lock them."""
    some = select(Node.id).where(Node.removed_from == DOOMED).limit(_TOPS)
    return list(db.scalars(some.with_for_update(skip_locked=True)))


def held_doomed(db: Db, tops: Sequence[bytes]) -> list[bytes]:
    """Return and lock those of some nodes that must be deleted and still exist."""
    which = select(Node.id).where(Node.id.in_(tops), Node.removed_from == DOOMED)
    return list(db.scalars(which.with_for_update(skip_locked=True)))


def piece(db: Db, tops: Sequence[bytes], most: int) -> list[bytes]:
    """Return about `most` of some nodes and those below them; a node comes after all below it.

    With the nodes below a folder are those that were removed from it before: without the folder,
    no client could find them any longer.
    """
    found = dict[bytes, None]()
    left: list[tuple[bytes, bool | None]] = [(top, None) for top in reversed(tops)]
    while left and len(found) < most:
        node, is_last = left.pop()
        if is_last is not None:
            if not is_last:
                break  # the folder has more than was read of it
            found[node] = None
            continue
        within = [
            (row.id, row.kind)
            for ask in (_CHILDREN, _REMOVED_CHILDREN)
            for row in db.execute(ask, {"of": node, "most": most})
        ]
        left.append((node, len(within) < most))
        for child, kind in within:
            if kind == NodeKind.FOLDER:
                left.append((child, None))
            else:
                found[child] = None
    return list(found)


def drop_removed(db: Db, doomed: Sequence[bytes]) -> list[str]:
    """Delete removed nodes, with their rows; return the places that must be emptied."""
    roots = blobs.of_nodes(db, doomed)
    nodes.drop(db, doomed)
    return blobs.drop(db, roots)
