"""A team that shares, and a server that helps one member against the others."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from msgspec.structs import replace

from fsclient.trust.key_directory import KeyDirectory
from fsproto import labels
from fsproto.keylog.head import KeyLogHead, pack_log_head
from fsproto.keys.grants import Role, wrap
from fsproto.keys.identity import Identity
from fsproto.keys.key_file import open_identity
from fsproto.keys.member_list import FORMAT, Member, MemberList, sealed_hash, sign_members
from fsproto.keys.tree import KeyedNode
from fsproto.messages.history import Lineal
from fsproto.messages.shares import Share
from fsproto.packing import unpack
from fsproto.proofs.lineage import next_lineage
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed.folder import FolderState, VerifiedState, sign_state
from fsproto.sealed.manifest import VerifiedManifest
from fsproto.signed import Signed, payload_hash
from fsproto.types import NO_HASH, Hash, NodeId, Token
from tests.support.hostile_server import HostileServer
from tests.support.raw_client import Forger
from tests.support.world import FILES, Person, World

Q1 = FILES["alice"]["reports/q1.txt"]
DEEP = b"further down\n"
LATE = 9
"""A version later than every version that was seen."""
_NODE = """INSERT OR REPLACE INTO nodes
(id, owner_id, parent_id, token, kind, generation, version, manifest_hash, next_lineage, blob)
VALUES (?, (SELECT owner_id FROM nodes WHERE id = ?), ?, ?, ?, ?, ?, ?, ?, ?)"""


def gathered(world: World) -> World:
    """Have alice share `reports` with bob (a writer) and carol (a reader); all have looked."""
    alice = world.alice
    with HostileServer(world.home) as server:
        world.meet(server.address)
        alice.run("mkdir", "reports/deep").succeeds()
        alice.run("put", alice.write("d.txt", DEEP), "reports/deep/d.txt").succeeds()
        alice.run("share", "reports", "bob", "--write").succeeds()
        alice.run("share", "reports", "carol").succeeds()
        for one in (world.bob, world.carol):
            assert one.cat("alice:reports/q1.txt") == Q1
            assert one.cat("alice:reports/deep/d.txt") == DEEP
    return world


class Accomplice(Forger):
    """A person whose signatures the server stores unchecked, directly in its database."""

    def __init__(self, world: World, person: Person) -> None:
        """Take the server's world, and the person whom the server helps."""
        self._world = world
        self.key = identity(person).signing
        self.user = person.name

    @property
    def log_head(self) -> bytes:
        """The newest head of the server's key log."""
        with self._world.database() as db:
            return current_log_head(db)

    def writes(
        self,
        folder: KeyedNode,
        *manifests: VerifiedManifest,
        without: Iterable[Token] = (),
        **changes: Any,
    ) -> FolderState:
        """Sign the next state of a folder, with these manifests in it and without some tokens."""
        with self._world.database() as db:
            body = signed_state(db, folder.node)
            gone = set(without)
            tree = PrefixTree.build(one for one in _entries(db, folder) if one.token not in gone)
            for one in manifests:
                tree = tree.put(FolderEntry(one.body.token, one.body.node, one.hash))
            fields = {
                "version": body.version + 1,
                "lineage": _next_lineage(db, folder.node),
                "root": tree.root,
                "author": self.user,
                "author_key": self.key.public,
            }
            state = sign_state(self.key, replace(body, **(fields | changes)))
            store_state(db, state)
            for token in gone:
                db.execute(
                    "DELETE FROM nodes WHERE parent_id = ? AND token = ?", (folder.node, token)
                )
            for one in manifests:
                store_node(db, one)
        return state.body

    def adds(self, folder: KeyedNode, name: str = "forged", **changes: Any) -> None:
        """Put a file into a folder."""
        self.writes(folder, self.manifest(folder, name, self.blob()[0]), **changes)


def identity(person: Person) -> Identity:
    return open_identity((person.profile / "identity.key").read_bytes(), None)


def share_of(
    owner: Person, to: Person, what: KeyedNode, manifest: Signed, sealed: bytes = b""
) -> Share:
    """Return a share of any node, signed by its owner; `sealed` replaces the sealed key."""
    me, bundle = identity(owner), identity(to).bundle
    sealed = sealed or wrap(what, bundle, Role.READER, os.urandom)
    member = Member(to.name, Role.READER, bundle.body.ed25519, bundle.hash, sealed_hash(sealed))
    body = MemberList(
        format=FORMAT,
        node=what.node,
        version=LATE,
        lineage=NO_HASH,
        generation=what.generation,
        owner=me.user,
        owner_key=me.signing.public,
        members=[member],
        above=[],
        former=[],
        time_ms=1,
        log_head=_log_head_seen(owner, me),
    )
    return Share(owner.name, sign_members(me.signing, body).signed, sealed, manifest)


def _log_head_seen(person: Person, me: Identity) -> bytes:
    with closing(KeyDirectory(person.profile / "people.db", me, print)) as people:
        return people.log_head


def current_log_head(db: sqlite3.Connection) -> bytes:
    """Return the newest head of a server's key log, as clients sign it."""
    (payload,) = db.execute("SELECT payload FROM key_log_head").fetchone()
    head = unpack(payload, KeyLogHead)
    return pack_log_head(head.size, head.root)


def store_state(db: sqlite3.Connection, state: VerifiedState) -> None:
    """Replace a folder's state, and keep the hash of the old state."""
    body = state.body
    db.execute(
        "INSERT OR REPLACE INTO older_hashes SELECT folder_id, ?, version, hash "
        "FROM folder_states WHERE folder_id = ?",
        (int(Lineal.STATE), body.folder),
    )
    db.execute(
        "UPDATE folder_states SET version = ?, hash = ?, next_lineage = ?, payload = ?, "
        "signature = ? WHERE folder_id = ?",
        (
            body.version,
            state.hash,
            state.point.next_lineage,
            state.signed.payload,
            state.signed.signature,
            body.folder,
        ),
    )


def store_node(db: sqlite3.Connection, manifest: VerifiedManifest) -> None:
    """Put a node at the place that its manifest names."""
    body, signed = manifest.body, manifest.signed
    blob = body.content.root if body.content else None
    place = body.node, body.parent, body.parent, body.token, int(body.kind)
    hashes = manifest.hash, manifest.point.next_lineage
    db.execute(_NODE, (*place, body.generation, body.version, *hashes, blob))
    db.execute("DELETE FROM manifests WHERE node_id = ?", (body.node,))
    db.execute(
        "INSERT INTO manifests (node_id, version, payload, signature) VALUES (?, ?, ?, ?)",
        (body.node, body.version, signed.payload, signed.signature),
    )


def signed_state(db: sqlite3.Connection, folder: NodeId) -> FolderState:
    """Return a folder's state."""
    return unpack(_payload(db, folder), FolderState)


def rows(db: sqlite3.Connection, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of some tables."""
    return {table: db.execute(f"SELECT * FROM {table}").fetchall() for table in tables}


def put_back(db: sqlite3.Connection, saved: dict[str, list[tuple[Any, ...]]]) -> None:
    """Restore tables to their earlier state."""
    for table, values in saved.items():
        db.execute(f"DELETE FROM {table}")
        marks = ", ".join("?" * len(values[0])) if values else ""
        db.executemany(f"INSERT INTO {table} VALUES ({marks})", values)


def _payload(db: sqlite3.Connection, folder: NodeId) -> bytes:
    sql = "SELECT payload FROM folder_states WHERE folder_id = ?"
    found: bytes = db.execute(sql, (folder,)).fetchone()[0]
    return found


def _next_lineage(db: sqlite3.Connection, folder: NodeId) -> Hash:
    payload = _payload(db, folder)
    body = unpack(payload, FolderState)
    return next_lineage(body.version, body.lineage, payload_hash(labels.HASH_STATE, payload))


def _entries(db: sqlite3.Connection, folder: KeyedNode) -> list[FolderEntry]:
    sql = "SELECT token, id, manifest_hash FROM nodes WHERE parent_id = ?"
    return [FolderEntry(*row) for row in db.execute(sql, (folder.node,))]
