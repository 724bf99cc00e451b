"""Turns described changes into a signed commit: the next manifests and folder states."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from fsclient.tree.nodes import FolderView, TreeNode, seen_gone
from fsclient.tree.tree import Tree
from fsclient.trust.places import Place
from fsclient.trust.sightings import Sighting
from fskit.clock import now_ms
from fsproto.errors import ConflictError
from fsproto.keys.tree import KeyedNode
from fsproto.messages.files import Removal
from fsproto.proofs.lineage import NO_LINEAGE
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed import folder as folders
from fsproto.sealed import manifest as manifests
from fsproto.sealed.folder import FolderState, VerifiedState, sign_state
from fsproto.sealed.manifest import (
    Content,
    DraftManifest,
    Manifest,
    Metadata,
    NodeKind,
    VerifiedManifest,
    draft_manifest,
    seal_metadata,
    sign_manifests,
)
from fsproto.types import NodeId, Token
from fsproto.values import Value


class NextVersion(Value, frozen=True):
    """The description of a node's next version."""

    node: KeyedNode
    before: VerifiedManifest | None
    """The version it follows; None for a new node."""
    metadata: Metadata
    content: Content | None
    """None for a folder."""
    renew: bool = False
    """Whether the node takes a new key, even if it is not due."""


class SignedCommit(Value, frozen=True):
    """A signed commit; the server makes all of it, or nothing."""

    states: list[VerifiedState]
    manifests: list[VerifiedManifest]
    removals: list[Removal]
    gone: list[Sighting]
    """The nodes that it removes, in their last version."""
    after: dict[NodeId, FolderView]
    """The folders after the commit."""
    mark: int
    """The mark of the seen versions (`SeenVersions.mark`) from before the commit was signed."""

    def was_made(self, views: Mapping[NodeId, FolderView]) -> bool:
        """Return whether folders show that the server has made it: by its states or its entries.

        A commit with removals alone counts as made if none of the removed names is there, even if
        another person has removed them.
        """
        for state in self.states:
            view = views.get(state.body.folder)
            if view is not None and view.state.hash == state.hash:
                return True
        for manifest in self.manifests:
            view = views.get(manifest.body.parent)
            entry = view.tree.get(manifest.body.token) if view else None
            if entry is not None and entry.manifest == manifest.hash:
                return True
        if self.manifests or not self.removals:
            return False
        return all(
            (view := views.get(gone.folder)) is not None and view.tree.get(gone.token) is None
            for gone in self.removals
        )


class Draft:
    """An unsigned commit, built on top of the present folders."""

    def __init__(self, tree: Tree, views: Mapping[NodeId, FolderView], new: set[NodeId]) -> None:
        """`views` are the existing folders, `new` the folders that this commit creates."""
        self._identity = tree.context.identity
        self._pending_keys = tree.context.pending_keys
        self._places = tree.context.places
        self._log_head = tree.context.people.log_head
        self._views = views
        self._edits = {node: view.tree.edit() for node, view in views.items()}
        self._edits |= {node: PrefixTree().edit() for node in new}
        self._manifests: list[DraftManifest] = []
        self._removals: list[Removal] = []
        self._taken: list[VerifiedManifest] = []
        self._placed_before: dict[NodeId, Place] = {}

    def put_places_back(self) -> None:
        """Return the folders of this commit to their former places: the commit was not made.

        Otherwise their present member lists, and the states of other people in them, would seem
        older than their keys.
        """
        self._places.put_back(self._placed_before)

    def entry(self, folder: KeyedNode, tokens: Sequence[Token]) -> FolderEntry | None:
        """Return the entry of a name, with the changes of this draft so far."""
        edit = self._edits[folder.node]
        for token in tokens:
            if (found := edit.get(token)) is not None:
                return found
        return None

    def place(self, parent: KeyedNode, tokens: Sequence[Token], what: NextVersion) -> None:
        """Make a node's next version, and enter it in its folder under its newest token."""
        parent, before = self._pending_keys.current(parent), what.before
        stays = before is not None and before.body.parent == parent.node
        node = self._keyed(parent, what, stays=stays)
        self._clear(parent, tokens[1:])
        body = self._manifest(parent, node, tokens[0], what)
        drafted = draft_manifest(body)
        self._manifests.append(drafted)
        entry = FolderEntry(tokens[0], node.node, drafted.hash)
        self._edits[parent.node].put(entry)
        if body.kind is NodeKind.FOLDER:
            was = self._places.get(node.node)
            if was is not None:
                self._placed_before.setdefault(node.node, was)
            self._places.register(parent.node, node, parent.generation, entry)

    def _clear(self, parent: KeyedNode, older: Sequence[Token]) -> None:
        """Remove the entry that a name has under an older token: its new entry replaces it."""
        for token in older:
            if self._edits[parent.node].get(token) is not None:
                self._remove(parent, token)

    def _keyed(self, parent: KeyedNode, what: NextVersion, *, stays: bool) -> KeyedNode:
        """Return a node with the key of its next version."""
        before, node = what.before, self._pending_keys.current(what.node)
        if what.content is None or before is None:
            return node  # a folder's new key is drawn when the change is described
        if node.generation > before.body.generation:
            return node
        if what.renew:
            return self._pending_keys.renew(node)  # a member list may have to be sealed to it
        due = stays and before.body.link_generation < parent.generation
        return node.renewed(os.urandom) if due else node

    def _manifest(
        self, parent: KeyedNode, node: KeyedNode, token: Token, what: NextVersion
    ) -> Manifest:
        before = what.before
        version = before.body.version + 1 if before else 1
        was = before.body if before else None
        same_key = was is not None and was.generation == node.generation
        same_link = (
            same_key
            and was is not None
            and (was.parent, was.link_generation) == (parent.node, parent.generation)
        )
        sealed = seal_metadata(
            node.metadata_key,
            node.node,
            version,
            node.generation,
            what.metadata,
            random=os.urandom,
        )
        return Manifest(
            format=manifests.FORMAT,
            node=node.node,
            parent=parent.node,
            kind=NodeKind.FOLDER if what.content is None else NodeKind.FILE,
            version=version,
            lineage=before.point.next_lineage if before else NO_LINEAGE,
            token=token,
            link=was.link if was and same_link else parent.seal_link(node, os.urandom),
            link_generation=parent.generation,
            generation=node.generation,
            names_since=node.names_since,
            former=was.former if was and same_key else node.seal_former(os.urandom),
            key_commitment=node.key_commitment,
            former_commitment=was.former_commitment if was and same_key else node.former_commitment,
            metadata=sealed,
            content=what.content,
            author=self._identity.user,
            author_key=self._identity.signing.public,
            time_ms=now_ms(),
            log_head=self._log_head,
        )

    def take_out(self, parent: KeyedNode, tokens: Sequence[Token], found: TreeNode) -> None:
        """Remove a name from its folder; `ConflictError` if its entry has changed since."""
        entry = self.entry(parent, tokens)
        if entry is None or (entry.node, entry.manifest) != (found.keyed.node, found.manifest.hash):
            raise ConflictError(
                f"'{found.path}' was changed or removed by another person in the meantime."
            )
        self._remove(parent, entry.token)
        self._taken.append(found.manifest)

    def take_out_entry(self, parent: KeyedNode, entry: FolderEntry, named: str) -> None:
        """Remove an entry from its folder; `ConflictError` if the entry has changed since.

        `named` is the start of the error's sentence.
        """
        if self.entry(parent, [entry.token]) != entry:
            raise ConflictError(f"{named} was changed or removed concurrently.")
        self._remove(parent, entry.token)

    def _remove(self, parent: KeyedNode, token: Token) -> None:
        self._removals.append(Removal(parent.node, token))
        self._edits[parent.node].remove(token)

    def sign(self, touched: list[KeyedNode], mark: int) -> SignedCommit:
        """Sign the manifests, and the next state of each changed folder.

        `mark` is the present mark of the seen versions.
        """
        after = {}
        for keyed in touched:
            tree, view = self._edits[keyed.node].tree(), self._views.get(keyed.node)
            state = sign_state(
                self._identity.signing,
                FolderState(
                    format=folders.FORMAT,
                    folder=keyed.node,
                    version=view.state.body.version + 1 if view else 1,
                    lineage=view.state.point.next_lineage if view else NO_LINEAGE,
                    root=tree.root,
                    generation=self._pending_keys.current(keyed).generation,
                    author=self._identity.user,
                    author_key=self._identity.signing.public,
                    time_ms=now_ms(),
                    log_head=self._log_head,
                ),
            )
            after[keyed.node] = FolderView(state, tree, {})
        signed = sign_manifests(self._identity.signing, self._manifests)
        states = [view.state for view in after.values()]
        placed = {manifest.body.node for manifest in signed}
        gone = [seen_gone(one) for one in self._taken if one.body.node not in placed]
        return SignedCommit(states, signed, self._removals, gone, after, mark)
