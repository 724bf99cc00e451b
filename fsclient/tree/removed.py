"""What was removed from a folder, as far as signatures tell: what, by whom, and when.

The server shows the state of the folder that last had it and the next one, with a proof for each.
Whoever signed the second has removed it, or put something else in its place. That it is shown here
brings nothing back: only `restore` does, by a version newer than any that was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from fsclient.tree.contents import SHOWN_DIGITS
from fsclient.tree.nodes import TreeNode, seen_manifest
from fsclient.tree.tree import Tree
from fsclient.trust.sightings import STATE, Gap
from fsproto.errors import (
    IntegrityError,
    NotFoundError,
    RemoteProtocolError,
    RollbackError,
    SignatureError,
)
from fsproto.messages.history import GetRemoved, Gone, Removed
from fsproto.names import RemotePath, for_terminal
from fsproto.packing import unpack
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed.folder import VerifiedState
from fsproto.sealed.manifest import Manifest, VerifiedManifest, open_metadata, pinned_manifest
from fsproto.signed import Signed
from fsproto.types import NO_NODE, Token


@dataclass(frozen=True)
class RemovedNode:
    """A file or folder that was removed and can be brought back."""

    found: TreeNode
    """As it was, under the name that it had."""
    state: VerifiedState
    """The first state without the node: its author and time are those of the removal."""
    replaced: bool
    """Whether something else took its name in the same change."""

    @property
    def id(self) -> str:
        """What tells it apart from others of its name."""
        return self.found.keyed.node.hex()[:8]


class RemovedLookup:
    """Asks what was removed from folders, and verifies it."""

    def __init__(self, tree: Tree) -> None:
        """Take the tree that the folders are found in."""
        self._tree = tree
        self._states: dict[bytes, VerifiedState] = {}
        self.refused: list[IntegrityError] = []
        """What was removed and does not verify, and so cannot be brought back."""

    def of(self, folder: TreeNode) -> list[RemovedNode]:
        """Return what was removed from a folder and can be brought back, the latest first."""
        if folder.keyed.node == NO_NODE:
            return []
        gone, mark = self._tree.context.retry.run(partial(self._ask, folder))
        view = self._tree.view(folder.keyed, [])
        checked = [self._checked(folder, one) for one in gone]
        found = [one for one in checked if one is not None]
        self._check_ancestors([one.state for one in found], view.state)
        manifests = [one.found.manifest for one in found]
        heads = {one.state.body.log_head for one in found}
        heads |= {manifest.body.log_head for manifest in manifests}
        self._tree.context.check_heads(heads)
        self._tree.context.check_seen(map(seen_manifest, manifests), mark)
        return sorted(found, key=lambda one: -one.state.body.version)

    def named(self, folder: TreeNode, path: RemotePath, chosen: str = "") -> list[RemovedNode]:
        """Return what was removed under a name, the latest first; `NotFoundError` if nothing.

        `chosen` is the beginning of the id of one of them.
        """
        found = [one for one in self.of(folder) if one.found.metadata.name == path.name]
        found = [one for one in found if one.found.keyed.node.hex().startswith(chosen.lower())]
        if not found:
            raise NotFoundError(
                f"There is no '{path}', and nothing of that name that was removed and is kept.",
                hint=f"'fsclient history {folder.path}' shows what was removed there.",
            )
        return found

    def _ask(self, folder: TreeNode) -> tuple[list[Gone], int]:
        mark, connection = self._tree.context.memory.mark(), self._tree.context.connection
        gone: list[Gone] = []
        while True:
            answer = connection.call(GetRemoved(folder.keyed.node, len(gone)), Removed)
            gone += answer.gone
            if not answer.more:
                return list(dict.fromkeys(gone)), mark  # one may be on two pages
            if not answer.gone:
                raise RemoteProtocolError("The server sent a part of an answer with nothing in it.")

    def _check_ancestors(self, removals: list[VerifiedState], present: VerifiedState) -> None:
        """Check that the present state of a folder descends from all of its removals."""
        points = sorted({one.point for one in removals}, key=lambda point: point.version)
        gaps = [
            Gap(present.body.folder, STATE, earlier, later)
            for earlier, later in pairwise([*points, present.point])
            if earlier != later
        ]
        proofs = self._tree.context.retry.run(partial(self._tree.context.questions.lineages, gaps))
        if not all(gap.earlier.leads_to(gap.later, proofs[gap]) for gap in gaps):
            raise RollbackError("The server showed a removal that is not in a folder's history.")

    def _checked(self, folder: TreeNode, gone: Gone) -> RemovedNode | None:
        """Return one removed node; None if it does not verify, which its writer may have caused."""
        before, after = self._state(gone.before, folder), self._state(gone.after, folder)
        if not before.point.leads_to(after.point, ()):
            raise IntegrityError("The server showed states of a folder that do not follow.")
        claimed = unpack(gone.manifest.payload, Manifest)
        entry = _entry(gone.before_proof, before, claimed.token)
        if entry is None or entry.node != claimed.node:
            raise IntegrityError("The server says that something was removed that was not there.")
        left = _entry(gone.after_proof, after, claimed.token)
        if left is not None and left.node == claimed.node:
            raise IntegrityError("The server says that something was removed that is still there.")
        manifest = pinned_manifest(gone.manifest, entry.manifest)
        try:
            return RemovedNode(self._open(folder, manifest), after, left is not None)
        except (IntegrityError, RemoteProtocolError, SignatureError) as error:
            id_ = entry.node.hex()[:SHOWN_DIGITS]
            self.refused.append(
                IntegrityError(
                    f"The entry {id_}, removed from '{folder.path}' by "
                    f"{for_terminal(after.body.author)}, does not verify: {error.sentence}"
                )
            )
            return None

    def _state(self, signed: Signed, folder: TreeNode) -> VerifiedState:
        """Verify a state of the past; many things may have been removed by one change."""
        key = signed.payload + signed.signature
        found = self._states.get(key)
        if found is None or found.body.folder != folder.keyed.node:
            found = self._tree.context.authors.former_state(signed, folder.keyed)
            self._states[key] = found
        return found

    def _open(self, folder: TreeNode, manifest: VerifiedManifest) -> TreeNode:
        body, above = manifest.body, folder.keyed
        keyed = above.open_link(body)
        self._tree.context.places.register(above.node, keyed, body.link_generation)
        self._tree.context.authors.check_manifest(manifest)
        metadata = open_metadata(keyed.metadata_key, body)
        ages = range(1, above.generation + 1)
        if body.token not in {above.at(age).token(metadata.name) for age in ages}:
            raise IntegrityError("Something lay in a folder under another name than its own.")
        return TreeNode(folder.path.child(metadata.name), keyed, manifest, metadata, folder)


def _entry(proof: bytes, state: VerifiedState, token: Token) -> FolderEntry | None:
    return PrefixTree.from_proof(proof, state.body.root).get(token)


def reached(tree: Tree, path: RemotePath) -> tuple[TreeNode, TreeNode | None]:
    """Return the folder of `path`, and the node there now; None if there is none."""
    way = tree.reach(path)
    if len(way[-1].path.parts) == len(path.parts):
        return (way[-2] if len(way) > 1 else way[-1]), way[-1]
    if len(way[-1].path.parts) < len(path.parts) - 1:
        missing = way[-1].path.child(path.parts[len(way[-1].path.parts)])
        raise NotFoundError(
            f"There is no '{missing}'.", hint=f"If it was removed: 'fsclient restore {missing}'."
        )
    return way[-1], None
