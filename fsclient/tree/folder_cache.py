"""A cache of folder states, for commands that change many folders in a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import ref

from fsclient.tree.nodes import FolderView
from fsclient.trust.sightings import shown_older
from fsproto.types import NodeId, Token
from fsproto.values import Value

if TYPE_CHECKING:
    from fsclient.connection.connection import ServerConnection

_REMEMBERED = 100_000
"""The most cached nodes of prefix trees; each takes about 250 bytes."""


class PendingRequest(Value, frozen=True):
    """A request, and the connection that it was sent over."""

    connection: ServerConnection
    request: int


class FolderCache:
    """Folders as they were last seen, or as the sent commits will leave them.

    Each entry is a guess: if another person changes a folder, the server answers `Stale`.
    """

    def __init__(self, most: int = _REMEMBERED) -> None:
        """`most` nodes of prefix trees are kept; of a folder with more, its state alone."""
        self._most = most
        self._views: dict[NodeId, FolderView] = {}
        self._nodes = 0
        self._made: dict[NodeId, tuple[int, ref[ServerConnection], int]] = {}
        """The newest version that this client made of each folder, with connection and request."""

    def note(self, folder: NodeId, view: FolderView, tokens: Sequence[Token] = ()) -> None:
        """Cache the requested part of a folder; drop the oldest entries above the limit."""
        before = self._views.get(folder)
        if before and before.state.hash == view.state.hash and before.tree.shows(tokens):
            view = before  # it may show more entries
        self._forget(folder)
        tree = view.tree if view.tree.nodes <= self._most else view.tree.bare()
        self._views[folder] = FolderView(view.state, tree, {})
        self._nodes += tree.nodes + 1
        while self._nodes > self._most and len(self._views) > 1:
            self._forget(next(iter(self._views)))

    def _forget(self, folder: NodeId) -> None:
        before = self._views.pop(folder, None)
        if before is not None:
            self._nodes -= before.tree.nodes + 1

    def note_made(self, folder: NodeId, version: int, asked: PendingRequest) -> None:
        """Record that the server confirmed a version of a folder, for the request `asked`."""
        self._made[folder] = version, ref(asked.connection), asked.request

    def shows_all(self, folder: NodeId, version: int, asked: PendingRequest) -> bool:
        """Return whether an answer with this version includes every version this client has made.

        An answer may show an older version if the server sent it before. If the server sent it
        after (it answers the requests of a connection in order), `RollbackError`.
        """
        if folder not in self._made:
            return True
        made, connection, request = self._made[folder]
        if version < made and connection() is asked.connection and request < asked.request:
            raise shown_older(version, made)
        return version >= made

    def view(self, folder: NodeId, tokens: list[Token]) -> FolderView | None:
        """Return the cached folder, if the cached part shows these names; None otherwise."""
        view = self._views.get(folder)
        return view if view is not None and view.tree.shows(tokens) else None
