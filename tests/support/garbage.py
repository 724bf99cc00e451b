"""A writer in another person's shared folder that signs entries no client can open.

An honest server accepts them: it cannot read the sealed fields of a manifest.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from fsclient.session.session import Session
from fsclient.tree.nodes import TreeNode
from fsproto.errors import FsError
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.messages.base import Done
from fsproto.messages.files import Commit
from fsproto.names import parse_path
from fsproto.packing import unpack
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed.folder import FolderState, sign_state
from fsproto.sealed.manifest import (
    Metadata,
    Mode,
    VerifiedManifest,
    seal_metadata,
    sign_manifest,
)
from fsproto.types import FileKey, Token
from tests.support.raw_client import Forger


def _sealed(node: KeyedNode, metadata: Metadata) -> bytes:
    return seal_metadata(node.metadata_key, node.node, 1, 1, metadata, random=os.urandom)


def _named(name: str) -> Callable[[KeyedNode], dict[str, Any]]:
    file_key = FileKey(bytes(32))
    metadata = Metadata(name, 1, 1, Mode.REGULAR, file_key=file_key)
    return lambda node: {"metadata": _sealed(node, metadata)}


KINDS: dict[str, Callable[[KeyedNode], dict[str, Any]]] = {
    "random metadata": lambda _: {"metadata": os.urandom(300)},
    "no metadata": lambda _: {"metadata": b""},
    "random link": lambda _: {"link": os.urandom(60)},
    "random token": lambda _: {"token": Token(os.urandom(32))},
    "another name": _named("another"),
    "a path for a name": _named("../../etc/passwd"),
    "no name": _named(""),
    "a name not in normal form": _named("e\u0301"),
    "a file without a key": lambda node: {
        "metadata": _sealed(node, Metadata("bad", 1, 1, Mode.REGULAR, file_key=None))
    },
}
"""Fields of a manifest that make its entry unreadable, by what is wrong."""


class GarbageWriter(Forger):
    """A writer who signs what no client would sign; the honest server takes it."""

    def __init__(self, session: Session, folder: str) -> None:
        """Write into `folder`, a path as this writer sees it."""
        super().__init__(session)
        self.session = session
        self.folder = session.tree.find(parse_path(folder))

    def adds(self, name: str = "bad", **changes: Any) -> str:
        """Add a file whose manifest is changed; return the id of its node."""
        return self.adds_as(lambda _: changes, name)

    def adds_as(self, kind: Callable[[KeyedNode], dict[str, Any]], name: str = "bad") -> str:
        """Add a file of one of the `KINDS`; return the id of its node."""
        node, keyed = new_node(os.urandom), self.folder.keyed
        content, blob = self.blob()
        fields = {"link_generation": keyed.generation} | kind(node)
        manifest = self.manifest(keyed, name, content, node=node, **fields)
        self.sends(Commit([self.signs(manifest)], [manifest.signed], [], [blob], []))
        return node.node.hex()

    def spoils(self, name: str, **changes: Any) -> str:
        """Sign garbage as the next version of an existing node; return the node's id."""
        found = self.session.tree.look(self.folder, [name])[name]
        assert found is not None
        changes = changes or {"metadata": os.urandom(300)}
        manifest = self.next_version(found, **changes)
        self.sends(Commit([self.signs(manifest)], [manifest.signed], [], [], []))
        return found.keyed.node.hex()

    def next_version(self, found: TreeNode, **changes: Any) -> VerifiedManifest:
        """Sign the next version of a node, changed."""
        body, point = found.manifest.body, found.manifest.point
        fields = {
            "version": body.version + 1,
            "lineage": point.next_lineage,
            "author": self.user,
            "author_key": self.key.public,
            "log_head": self.log_head,
        }
        return sign_manifest(self.key, replace(body, **(fields | changes)))

    def signs(self, *manifests: VerifiedManifest) -> Any:
        """Sign the folder's next state."""
        author = {"author": self.user, "author_key": self.key.public}
        return self.state(self.folder.keyed, *manifests, **author)

    def sends(self, commit: Commit) -> None:
        """Commit, which the honest server takes."""
        self.session.connection.call(commit, Done)

    def nests(self, name: str, depth: int, at_once: int = 16) -> int:
        """Make `depth` folders in each other: `name`/d/d/d…; return how many the server took."""
        here, last, made = self.folder.keyed, None, 0
        while depth:
            nodes = [new_node(os.urandom) for _ in range(min(at_once, depth))]
            manifests, parent = list[VerifiedManifest](), here
            for node in nodes:
                below = name if parent is self.folder.keyed else "d"
                manifests.append(
                    self.manifest(parent, below, None, node=node, link_generation=parent.generation)
                )
                parent = node
            first = manifests[0]
            if last is None:
                top = self.signs(first)
            else:
                entry = FolderEntry(first.body.token, first.body.node, first.hash)
                body = replace(
                    last.body,
                    version=2,
                    lineage=last.point.next_lineage,
                    root=PrefixTree.build([entry]).root,
                )
                top = sign_state(self.key, body).signed
            states = [
                self._first(node, *manifests[at + 1 : at + 2]) for at, node in enumerate(nodes)
            ]
            signed = [state.signed for state in states]
            commit = Commit([top, *signed], [one.signed for one in manifests], [], [], [])
            try:
                self.sends(commit)
            except FsError:  # a server may refuse what lies too deep
                return made
            last, here, depth = states[-1], nodes[-1], depth - len(nodes)
            made += len(nodes)
        return made

    def _first(self, folder: KeyedNode, *inside: VerifiedManifest) -> Any:
        signed = self.first_state(folder, *inside)
        return sign_state(self.key, unpack(signed.payload, FolderState))
