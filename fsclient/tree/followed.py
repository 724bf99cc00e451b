"""The folders that a command has listed, as they are after its own commits.

So a command knows, without another listing, which entries the newest state of a folder has. If
another client has changed a folder in between, the folder is no longer followed.
"""

from __future__ import annotations

from collections.abc import Iterable

from fsproto.messages.files import Removal
from fsproto.sealed.folder import VerifiedState
from fsproto.sealed.manifest import NodeKind, VerifiedManifest
from fsproto.signed import Signed
from fsproto.types import NO_HASH, NodeId, Root, Token

Entry = tuple[NodeId, Root]
"""A node and the root of its content; zeros for a folder."""


class _Followed:
    """A folder with its newest state, and the entries of that state."""

    def __init__(self, state: VerifiedState, entries: Iterable[Entry] = ()) -> None:
        self.state = state
        self.roots: dict[NodeId, Root] = dict(entries)
        self.nodes: dict[Token, NodeId] = {}
        """The nodes whose tokens are known."""


class FollowedFolders:
    """Verified folders as a command knows them."""

    def __init__(self) -> None:
        self._folders: dict[NodeId, _Followed] = {}
        self._manifests: dict[NodeId, Signed] = {}

    def listed(self, state: VerifiedState, manifests: Iterable[VerifiedManifest]) -> None:
        """Take a verified listing: a state, and the manifests of all its entries."""
        self._folders[state.body.folder] = _Followed(state)
        self._place(manifests)

    def known(self, state: VerifiedState, entries: Iterable[Entry]) -> None:
        """Take a verified state whose entries are known without a listing."""
        self._folders[state.body.folder] = _Followed(state, entries)

    def committed(
        self,
        states: Iterable[VerifiedState],
        manifests: Iterable[VerifiedManifest],
        removals: Iterable[Removal],
    ) -> None:
        """Take a commit of this client that the server has made."""
        for state in states:
            folder = state.body.folder
            before = self._folders.get(folder)
            if before is not None and before.state.point.next_lineage == state.body.lineage:
                before.state = state
            elif state.body.version == 1:
                self._folders[folder] = _Followed(state)
            else:
                self._folders.pop(folder, None)
        for gone in removals:
            self._remove(gone.folder, gone.token)
        self._place(manifests)

    def _remove(self, folder: NodeId, token: Token) -> None:
        followed = self._folders.get(folder)
        if followed is None:
            return
        if token in followed.nodes:
            followed.roots.pop(followed.nodes.pop(token), None)
        else:
            del self._folders[folder]

    def _place(self, manifests: Iterable[VerifiedManifest]) -> None:
        for manifest in manifests:
            body = manifest.body
            followed = self._folders.get(body.parent)
            if followed is not None:
                root = Root(NO_HASH) if body.content is None else body.content.root
                followed.roots[body.node] = root
                followed.nodes[body.token] = body.node
            if body.kind is NodeKind.FOLDER:
                self._manifests[body.node] = manifest.signed

    def state(self, folder: NodeId) -> VerifiedState | None:
        """Return the newest state of a folder; None if the folder is not followed."""
        followed = self._folders.get(folder)
        return None if followed is None else followed.state

    def entries(self, folder: NodeId) -> set[Entry]:
        """Return the entries of a followed folder."""
        return set(self._folders[folder].roots.items())

    def manifest(self, folder: NodeId) -> Signed | None:
        """Return the newest manifest that this command has seen of a folder."""
        return self._manifests.get(folder)
