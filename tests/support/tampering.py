"""An attacker who owns the server's disk, and can change its database and its blobs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from fsclient.tree.nodes import TreeNode
from fsproto.packing import pack, unpack
from fsproto.sealed.manifest import Manifest, manifest_hash
from fsproto.signed import Signed
from tests.support.world import Person

Places = dict[str, TreeNode]
"""Alice's files and folders, by path."""
Rows = list[tuple[str, list[str], list[tuple[Any, ...]]]]
"""Rows of several tables: the table, its columns, and their values."""

OF_NODE = {"nodes": "id", "manifests": "node_id", "folder_states": "folder_id", "blobs": "node_id"}
"""The tables with rows about a node, and the column with its id."""


def saved(db: sqlite3.Connection, *nodes: bytes) -> Rows:
    """Return all rows about some nodes."""
    found: Rows = []
    for table, column in OF_NODE.items():
        for node in nodes:
            cursor = db.execute(f"SELECT * FROM {table} WHERE {column} = ?", (node,))
            columns = [described[0] for described in cursor.description]
            found.append((table, columns, cursor.fetchall()))
    return found


def put_back(db: sqlite3.Connection, rows: Rows, *, leave_out: Iterable[str] = ()) -> None:
    """Restore rows to an earlier state."""
    for table, columns, values in rows:
        if table in leave_out:
            continue
        if table == "manifests":
            at = columns.index("node_id")
            db.executemany("DELETE FROM manifests WHERE node_id = ?", [(v[at],) for v in values])
        marks = ", ".join("?" * len(columns))
        names = ", ".join(columns)
        db.executemany(f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})", values)


def below(db: sqlite3.Connection, folder: bytes) -> list[bytes]:
    """Return a folder and its direct entries."""
    children = db.execute("SELECT id FROM nodes WHERE parent_id = ?", (folder,))
    return [folder, *(node for (node,) in children)]


def stored_manifest(db: sqlite3.Connection, node: bytes) -> Signed:
    """Return a node's newest manifest."""
    sql = "SELECT payload, signature FROM manifests WHERE node_id = ? ORDER BY version DESC"
    return Signed(*db.execute(sql, (node,)).fetchone())


def store_manifest(db: sqlite3.Connection, node: bytes, signed: Signed, *, hashed: bool) -> None:
    """Replace a node's manifest, and also its hash if the attacker is thorough."""
    sql = "UPDATE manifests SET payload = ?, signature = ? WHERE node_id = ?"
    db.execute(sql, (signed.payload, signed.signature, node))
    if hashed:
        sql = "UPDATE nodes SET manifest_hash = ? WHERE id = ?"
        db.execute(sql, (manifest_hash(signed), node))


def change_manifest(
    db: sqlite3.Connection, node: bytes, how: Callable[[Manifest], dict[str, Any]], *, hashed: bool
) -> None:
    """Change fields of a node's manifest; its signature becomes invalid."""
    signed = stored_manifest(db, node)
    body = unpack(signed.payload, Manifest)
    forged = Signed(pack(msgspec.structs.replace(body, **how(body))), signed.signature)
    store_manifest(db, node, forged, hashed=hashed)


# --- shared by the tests


def look_at_everything(person: Person) -> None:
    """Make the server cache as much as it can: the tree of every folder."""
    person.run("cat", "notes.txt", "reports/q1.txt", "archive/old.txt").succeeds()


def refused(person: Person, path: str, *statuses: int) -> str:
    """Check that a get fails and leaves the local file unchanged; return the error output."""
    target = person.write("here", b"what is here")
    told = person.run("get", path, target).fails(*(statuses or [7]))
    assert target.read_bytes() == b"what is here"
    assert not person.half_written()
    return told


def node(place: TreeNode) -> bytes:
    """Return the id by which the server knows a node."""
    return place.keyed.node


def root(place: TreeNode) -> bytes:
    """Return the root of a file's content, which names its blob."""
    content = place.manifest.body.content
    assert content is not None
    return content.root
