"""What one person can open with the own keys, if the server gives them everything that it has."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from contextlib import suppress

from fsproto.errors import FsError
from fsproto.keys.identity import Identity
from fsproto.keys.member_list import VerifiedMembers, stated_members
from fsproto.keys.tree import KeyedNode
from fsproto.messages.files import Commit
from fsproto.packing import unpack
from fsproto.sealed.manifest import Manifest, open_metadata
from fsproto.signed import Signed
from fsproto.types import NO_HASH, NodeId, NodeKey

_GRANTS = """SELECT payload, signature, sealed FROM member_lists
JOIN grants ON grants.node_id = member_lists.node_id
JOIN users ON users.id = grants.user_id WHERE users.name = ?"""


class OpenedBy:
    """A person, and all grants and manifests that the server ever had."""

    def __init__(self, identity: Identity) -> None:
        """Take the person's private keys."""
        self._identity = identity
        self._keys = defaultdict[tuple[NodeId, int], set[NodeKey]](set)
        self._manifests: list[Manifest] = []

    def takes_keys(self, identity: Identity) -> None:
        """Take the keys that have replaced the person's; the former ones are with them."""
        self._identity = identity

    def read_database(self, db: sqlite3.Connection) -> None:
        """Take what is in a server's database."""
        for payload, signature, sealed in db.execute(_GRANTS, (self._identity.user,)):
            self._open_grant(Signed(payload, signature), sealed)
        rows = db.execute("SELECT payload FROM manifests").fetchall()
        self._manifests += [unpack(payload, Manifest) for (payload,) in rows]
        self._open_all()

    def opens(self, node: NodeId, version: int | None = None) -> bool:
        """Return whether the person opens a version of a node that was read, or any version."""
        return any(
            one.node == node and version in (None, one.version) and self._opens(one)
            for one in self._manifests
        )

    def read_commit(self, commit: Commit) -> list[Manifest]:
        """Take what a client sends; return the manifests in it that the person can open."""
        for new in commit.members:
            for one in new.sealed:
                if one.user == self._identity.user:
                    self._open_grant(new.members, one.sealed)
        came = [unpack(signed.payload, Manifest) for signed in commit.manifests]
        self._manifests += came
        self._open_all()
        return [one for one in came if self._opens(one)]

    def _open_grant(self, signed: Signed, sealed: bytes) -> None:
        members = VerifiedMembers(stated_members(signed), NO_HASH, signed)
        with suppress(FsError):  # it may be of an older list
            self._add(members.open(sealed, self._identity))

    def _open_all(self) -> None:
        """Open links and former keys until nothing new opens."""
        before = -1
        while before != sum(map(len, self._keys.values())):
            before = sum(map(len, self._keys.values()))
            for manifest in self._manifests:
                self._open_from(manifest)

    def _open_from(self, manifest: Manifest) -> None:
        for key in list(self._keys[manifest.parent, manifest.link_generation]):
            with suppress(FsError):
                above = KeyedNode(manifest.parent, manifest.link_generation, key)
                self._add(above.open_link(manifest))
        for key in list(self._keys[manifest.node, manifest.generation]):
            with suppress(FsError):
                node = KeyedNode(manifest.node, manifest.generation, key)
                self._add(node.with_former(manifest))

    def _add(self, keyed: KeyedNode) -> None:
        for back, key in enumerate((keyed.key, *keyed.former)):
            self._keys[keyed.node, keyed.generation - back].add(key)

    def _opens(self, manifest: Manifest) -> bool:
        for key in self._keys[manifest.node, manifest.generation]:
            with suppress(FsError):
                node = KeyedNode(manifest.node, manifest.generation, key)
                open_metadata(node.metadata_key, manifest)
                return True
        return False
