"""Nodes that were removed from a folder, with the author and time of the removal, verified.

The server shows the last state of the folder with the node and the state after it, with a proof for
each. The author of the second state has removed or replaced the node. Showing a removed node does
not bring it back: only `restore` does, by a new version.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from fsclient.tree.contents import SHOWN_DIGITS
from fsclient.tree.nodes import TreeNode, seen_manifest
from fsclient.tree.tree import Tree
from fsclient.trust.sightings import STATE, Gap
from fsproto import crypto
from fsproto.errors import (
    FsError,
    IntegrityError,
    NotFoundError,
    RemoteProtocolError,
    RollbackError,
    SignatureError,
    Unreachable,
)
from fsproto.limits import MAX_ENTRIES
from fsproto.messages.history import GetRemoved, Gone, Removed
from fsproto.names import RemotePath, for_terminal
from fsproto.sealed.folder import VerifiedState
from fsproto.sealed.manifest import VerifiedManifest, open_metadata
from fsproto.sealed.removal import verify_removal
from fsproto.signed import Signed
from fsproto.types import NO_NODE, NodeId

_MOST_REPEATED = 1000
"""Removed nodes that the server may name again in one answer."""
_ASKED_AHEAD = 16
"""Folders that are asked about before the first answer is read."""


@dataclass(frozen=True)
class RemovedNode:
    """A file or folder that was removed and can be brought back."""

    found: TreeNode
    """The node before the removal, under its former name."""
    state: VerifiedState
    """The first state without the node: its author and time are those of the removal."""
    replaced: bool
    """Whether something else took its name in the same change."""

    @property
    def id(self) -> str:
        """An id that distinguishes it from others of its name."""
        return self.found.keyed.node.hex()[:SHOWN_DIGITS]

    @property
    def node(self) -> NodeId:
        """The id of the node."""
        return self.found.keyed.node

    @property
    def version(self) -> int:
        """The version of its newest manifest."""
        return self.found.manifest.body.version


class _Asked(NamedTuple):
    """A request that was sent ahead, and the mark from before it."""

    request: int
    mark: int


@dataclass(frozen=True)
class RefusedRemoval:
    """A removed node that does not verify and so cannot be restored; its removal was verified."""

    node: NodeId
    version: int
    """The version of its newest manifest."""
    state: VerifiedState
    """The first state without the node."""
    error: IntegrityError


class RemovedLookup:
    """Requests the removed nodes of folders, and verifies them."""

    def __init__(self, tree: Tree) -> None:
        """Take the tree that the folders are found in."""
        self._tree = tree
        self._states: dict[bytes, VerifiedState] = {}
        self.refused: list[RefusedRemoval] = []
        """Removed nodes that do not verify, of all folders that were asked about."""

    def of(self, folder: TreeNode) -> list[RemovedNode]:
        """Return the removed nodes of a folder that can be restored, the latest first."""
        return self._of(folder, None)

    def of_each(self, folders: Iterable[TreeNode]) -> Iterator[list[RemovedNode] | FsError]:
        """Yield what `of` returns for each folder, or the error that prevents it.

        The next folders are asked about before the answer of the first one is read.
        """
        asked = deque[tuple[TreeNode, _Asked | None]]()
        for folder in folders:
            asked.append((folder, self._ask_ahead(folder)))
            if len(asked) > _ASKED_AHEAD:
                yield self._of_or_error(*asked.popleft())
        while asked:
            yield self._of_or_error(*asked.popleft())

    def _ask_ahead(self, folder: TreeNode) -> _Asked | None:
        if folder.keyed.node == NO_NODE:
            return None
        self._tree.context.catch_up()
        mark, connection = self._tree.context.memory.mark(), self._tree.context.connection
        try:
            return _Asked(connection.send(GetRemoved(folder.keyed.node, 0), ahead=True), mark)
        except Unreachable:
            return None  # it is asked for again when its turn comes

    def _of_or_error(self, folder: TreeNode, asked: _Asked | None) -> list[RemovedNode] | FsError:
        try:
            return self._of(folder, asked)
        except FsError as error:
            if not self._tree.context.connection.usable:
                raise
            return error

    def _of(self, folder: TreeNode, asked: _Asked | None) -> list[RemovedNode]:
        if folder.keyed.node == NO_NODE:
            return []
        found, refused, mark = self._answer(folder, asked)
        self.refused += refused
        if not found:
            return []
        view = self._tree.view(folder.keyed, [])
        self._check_ancestors([one.state for one in found], view.state)
        manifests = [one.found.manifest for one in found]
        heads = {one.state.body.log_head for one in found}
        heads |= {manifest.body.log_head for manifest in manifests}
        self._tree.context.check_heads(heads)
        self._tree.context.check_seen(map(seen_manifest, manifests), mark)
        return sorted(found, key=lambda one: -one.state.body.version)

    def named(self, folder: TreeNode, path: RemotePath, chosen: str = "") -> list[RemovedNode]:
        """Return the removed nodes of a name, the latest first; `NotFoundError` if there are none.

        `chosen` is the start of the id of one of them.
        """
        found = [one for one in self.of(folder) if one.found.metadata.name == path.name]
        found = [one for one in found if one.found.keyed.node.hex().startswith(chosen.lower())]
        if not found:
            raise NotFoundError(
                f"There is no '{path}', and nothing of that name that was removed and is kept.",
                hint=f"'fsclient history {folder.path.argument}' shows what was removed there.",
            )
        return found

    def _answer(
        self, folder: TreeNode, asked: _Asked | None
    ) -> tuple[list[RemovedNode], list[RefusedRemoval], int]:
        """Read the answer to a request that was sent ahead; ask again if it is lost."""
        if asked is not None:
            try:
                first = self._tree.context.connection.answer(asked.request, Removed)
                return *self._pages(folder, first), asked.mark
            except Unreachable as lost:
                self._tree.context.retry.recover(lost)
        return self._tree.context.retry.run(partial(self._ask, folder))

    def _ask(self, folder: TreeNode) -> tuple[list[RemovedNode], list[RefusedRemoval], int]:
        self._tree.context.catch_up()
        mark, connection = self._tree.context.memory.mark(), self._tree.context.connection
        first = connection.interject(GetRemoved(folder.keyed.node, 0), Removed)
        return *self._pages(folder, first), mark

    def _pages(
        self, folder: TreeNode, answer: Removed
    ) -> tuple[list[RemovedNode], list[RefusedRemoval]]:
        """Ask page by page, and verify each page before the next one is asked for."""
        connection = self._tree.context.connection
        found, refused, seen, had = [], list[RefusedRemoval](), set[bytes](), 0
        while True:
            had += len(answer.gone)
            for one in answer.gone:
                named = crypto.sha256(one.manifest.payload, one.after.payload)
                if named in seen:
                    continue  # removals in the meantime move what is on a page to the next one
                seen.add(named)
                checked = self._checked(folder, one)
                if isinstance(checked, RemovedNode):
                    found.append(checked)
                else:
                    refused.append(checked)
            if not answer.more:
                return found, refused
            if not answer.gone or had - len(seen) > _MOST_REPEATED or had > MAX_ENTRIES:
                raise RemoteProtocolError("The server sent a part of an answer without new items.")
            answer = connection.interject(GetRemoved(folder.keyed.node, had), Removed)

    def _check_ancestors(self, removals: list[VerifiedState], present: VerifiedState) -> None:
        """Check that the present state of a folder descends from all of its removals."""
        points = sorted({one.point for one in removals}, key=lambda point: point.version)
        gaps = [
            Gap(present.body.folder, STATE, earlier, later)
            for earlier, later in pairwise([*points, present.point])
            if earlier != later
        ]
        reached = self._tree.context.retry.run(partial(self._tree.context.questions.lineages, gaps))
        if not all(crypto.equal(reached[gap], gap.later.lineage) for gap in gaps):
            raise RollbackError(
                "The server showed a removal that a folder's history does not contain."
            )

    def _checked(self, folder: TreeNode, gone: Gone) -> RemovedNode | RefusedRemoval:
        """Return one removed node, or why it does not verify, which its writer may have caused."""
        before, after = self._state(gone.before, folder), self._state(gone.after, folder)
        shown = verify_removal(gone.manifest, before, gone.before_proof, after, gone.after_proof)
        try:
            return RemovedNode(self._open(folder, shown.manifest), after, shown.replaced)
        except (IntegrityError, RemoteProtocolError, SignatureError) as error:
            body = shown.manifest.body
            told = IntegrityError(
                f"The entry {body.node.hex()[:SHOWN_DIGITS]}, removed from '{folder.path}' by "
                f"{for_terminal(after.body.author)}, does not verify: {error.sentence}"
            )
            return RefusedRemoval(body.node, body.version, after, told)

    def _state(self, signed: Signed, folder: TreeNode) -> VerifiedState:
        """Verify a former state; it is cached, because one change may remove many nodes."""
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
            raise IntegrityError("An entry of a folder had a name that differs from its own.")
        return TreeNode(folder.path.child(metadata.name), keyed, manifest, metadata, folder)


def reached(tree: Tree, path: RemotePath) -> tuple[TreeNode, TreeNode | None]:
    """Return the folder of `path`, and the node there now; None if there is none."""
    way = tree.reach(path)
    if len(way[-1].path.parts) == len(path.parts):
        return (way[-2] if len(way) > 1 else way[-1]), way[-1]
    if len(way[-1].path.parts) < len(path.parts) - 1:
        missing = way[-1].path.child(path.parts[len(way[-1].path.parts)])
        raise NotFoundError(
            f"There is no '{missing}'.",
            hint=f"If it was removed: 'fsclient restore {missing.argument}'.",
        )
    return way[-1], None
