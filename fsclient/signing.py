"""From what is to change to what is signed: the next manifests and folder states of one commit."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from fsclient.tree import Located, View
from fsproto.errors import ConflictError
from fsproto.keys.identity import Identity
from fsproto.keys.tree import KeyedNode
from fsproto.messages.files import Removal
from fsproto.sealed import folder as folders
from fsproto.sealed import manifest as manifests
from fsproto.sealed.folder import FolderState, VerifiedState, sign_state
from fsproto.sealed.manifest import (
    Content,
    DraftManifest,
    Kind,
    Manifest,
    Metadata,
    VerifiedManifest,
    draft_manifest,
    seal_metadata,
    sign_manifests,
)
from fsproto.sealed.prefixtree import Entry, PrefixTree
from fsproto.types import NO_HASH, NodeId, Token
from fsproto.values import Value


class NextVersion(Value, frozen=True):
    """What the next version of a node is to be."""

    node: KeyedNode
    before: VerifiedManifest | None
    """The version it follows; None for a new node."""
    metadata: Metadata
    content: Content | None
    """None for a folder."""


class SignedChanges(Value, frozen=True):
    """A commit that is signed: all of it is made, or nothing."""

    states: list[VerifiedState]
    manifests: list[VerifiedManifest]
    removals: list[Removal]
    after: dict[NodeId, View]
    """The folders as it leaves them."""

    def was_made(self, views: Mapping[NodeId, View]) -> bool:
        """Tell whether folders show that it was made: its states, or what it put there."""
        for state in self.states:
            view = views.get(state.body.folder)
            if view is not None and view.state.hash == state.hash:
                return True
        for manifest in self.manifests:
            view = views.get(manifest.body.parent)
            entry = view.tree.get(manifest.body.token) if view else None
            if entry is not None and entry.manifest == manifest.hash:
                return True
        return False


class Draft:
    """A commit in the making, on top of folders as they are."""

    def __init__(self, identity: Identity, views: Mapping[NodeId, View], new: set[NodeId]) -> None:
        """Take who signs, the folders that are there, and those that this very commit makes."""
        self._identity = identity
        self._views = views
        self._edits = {node: view.tree.edit() for node, view in views.items()}
        self._edits |= {node: PrefixTree().edit() for node in new}
        self._manifests: list[DraftManifest] = []
        self._removals: list[Removal] = []

    def entry(self, folder: KeyedNode, token: Token) -> Entry | None:
        """Return what a folder has under a name, changed as far as the draft has come."""
        return self._edits[folder.node].get(token)

    def place(self, parent: KeyedNode, token: Token, what: NextVersion) -> None:
        """Make a node's next version and enter it in its folder."""
        node, before = what.node, what.before
        version = before.body.version + 1 if before else 1
        stays = before is not None and before.body.parent == parent.node
        body = Manifest(
            format=manifests.FORMAT,
            node=node.node,
            parent=parent.node,
            kind=Kind.FOLDER if what.content is None else Kind.FILE,
            version=version,
            previous=before.hash if before else NO_HASH,
            token=token,
            link=before.body.link if before and stays else parent.seal_link(node, os.urandom),
            link_generation=parent.generation,
            generation=node.generation,
            metadata=seal_metadata(
                node.metadata_key,
                node.node,
                version,
                node.generation,
                what.metadata,
                random=os.urandom,
            ),
            content=what.content,
            author=self._identity.user,
            author_key=self._identity.signing.public,
            time_ms=_now_ms(),
            log_head=b"",
        )
        drafted = draft_manifest(body)
        self._manifests.append(drafted)
        self._edits[parent.node].put(Entry(token, node.node, drafted.hash))

    def take_out(self, parent: KeyedNode, token: Token, found: Located) -> None:
        """Take a name out of its folder; `ConflictError` if it no longer is what was found."""
        entry = self.entry(parent, token)
        if entry is None or (entry.node, entry.manifest) != (found.keyed.node, found.manifest.hash):
            raise ConflictError(f"Somebody else changed or removed '{found.path}' meanwhile.")
        self._removals.append(Removal(parent.node, token))
        self._edits[parent.node].remove(token)

    def sign(self, touched: list[KeyedNode]) -> SignedChanges:
        """Sign everything: the manifests, and the next state of each folder that was touched."""
        after = {}
        for keyed in touched:
            tree, view = self._edits[keyed.node].tree(), self._views.get(keyed.node)
            state = sign_state(
                self._identity.signing,
                FolderState(
                    format=folders.FORMAT,
                    folder=keyed.node,
                    version=view.state.body.version + 1 if view else 1,
                    previous=view.state.hash if view else NO_HASH,
                    root=tree.root,
                    generation=keyed.generation,
                    author=self._identity.user,
                    author_key=self._identity.signing.public,
                    time_ms=_now_ms(),
                    log_head=b"",
                ),
            )
            after[keyed.node] = View(state, tree, {})
        signed = sign_manifests(self._identity.signing, self._manifests)
        return SignedChanges([view.state for view in after.values()], signed, self._removals, after)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
