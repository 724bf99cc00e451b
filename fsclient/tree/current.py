"""The present states of many folders, in one round trip.

A folder that still has a state whose listing this client has verified has the same entries, so it
need not be listed again. This says nothing about the folders in it: each has a state of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from fsclient.tree.nodes import TreeNode, seen_state
from fsclient.tree.tree import Tree
from fsproto.errors import RemoteProtocolError
from fsproto.keys.tree import KeyedNode
from fsproto.limits import MAX_STATES
from fsproto.messages.files import GetStates, States
from fsproto.sealed.folder import VerifiedState
from fsproto.sealed.manifest import unproved_manifest
from fsproto.signed import Signed
from fsproto.types import NodeId


class CurrentStates:
    """States that the server was asked for in advance; each is verified when it is used."""

    def __init__(self, tree: Tree, folders: Iterable[NodeId]) -> None:
        """Ask for the states of some folders, all of which may be gone."""
        self._tree = tree
        self._mark = 0
        self._signed: dict[NodeId, Signed] = {}
        wanted = list(folders)
        if wanted:
            tree.context.retry.run(partial(self._ask, wanted))

    def _ask(self, wanted: Sequence[NodeId]) -> None:
        self._tree.context.catch_up()
        self._mark = self._tree.context.memory.mark()
        connection = self._tree.context.connection
        parts = [wanted[at : at + MAX_STATES] for at in range(0, len(wanted), MAX_STATES)]
        for part in parts:
            found = connection.interject(GetStates(list(part)), States).states
            if len(found) != len(part):
                raise RemoteProtocolError("The server answered for other folders than requested.")
            self._signed |= {
                folder: signed
                for folder, signed in zip(part, found, strict=True)
                if signed is not None
            }

    def of(self, folder: KeyedNode) -> VerifiedState | None:
        """Return the verified state of a folder; None if the server has not shown one.

        Raises what a listing of the folder raises, such as `RollbackError` for an old state.
        """
        signed = self._signed.get(folder.node)
        if signed is None:
            return None
        context = self._tree.context
        state = context.authors.state(signed, folder)
        context.check_heads([state.body.log_head])
        context.check_present([seen_state(state)], self._mark)
        return state

    def open_folder(self, folder: TreeNode, signed: Signed) -> TreeNode:
        """Return a folder in `folder`, from the manifest that a verified listing had.

        The state of `folder` must be that of the listing.
        """
        return self._tree.open_entry(folder, unproved_manifest(signed))
