"""A cache of folder states, for commands that change many folders in a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import ref

from fsclient.trust.sightings import shown_older
from fsproto.types import NodeId, Token
from fsproto.values import Value

if TYPE_CHECKING:
    from fsclient.connection.connection import ServerConnection
    from fsclient.tree.nodes import FolderView

_REMEMBERED = 100_000
"""Nodes of prefix trees that a long put need not ask for again; each takes about 250 bytes."""


class PendingRequest(Value, frozen=True):
    """A request, and the connection that it was sent over."""

    connection: ServerConnection
    request: int


class FolderCache:
    """Folders as they were last seen, or as they will be after the commits that were sent.

    Each entry is a guess: if another person changes a folder, the server answers `Stale`.
    """

    def __init__(self) -> None:
        self._views: dict[NodeId, FolderView] = {}
        self._nodes = 0
        self._made: dict[NodeId, tuple[int, ref[ServerConnection], int]] = {}
        """The version of a folder that was made last, over which connection, by which request."""

    def note(self, folder: NodeId, view: FolderView, tokens: Sequence[Token] = ()) -> None:
        """Note how a folder is now, as far as it was asked for; the oldest notes are forgotten."""
        before = self._views.get(folder)
        if before and before.state.hash == view.state.hash and before.tree.shows(tokens):
            view = before  # which may show more
        self._forget(folder)
        self._views[folder] = view
        self._nodes += view.tree.nodes + 1
        while self._nodes > _REMEMBERED and len(self._views) > 1:
            self._forget(next(iter(self._views)))

    def _forget(self, folder: NodeId) -> None:
        before = self._views.pop(folder, None)
        if before is not None:
            self._nodes -= before.tree.nodes + 1

    def note_made(self, folder: NodeId, version: int, asked: PendingRequest) -> None:
        """Note that the server says it has made a version of a folder, and what it was asked by."""
        self._made[folder] = version, ref(asked.connection), asked.request

    def shows_all(self, folder: NodeId, version: int, asked: PendingRequest) -> bool:
        """Return whether an answer that shows a version of a folder shows all that was made of it.

        If it does not, that may be because it was given before. `RollbackError` if it was not: a
        connection's requests are answered in their order.
        """
        if folder not in self._made:
            return True
        made, connection, request = self._made[folder]
        if version < made and connection() is asked.connection and request < asked.request:
            raise shown_older(version, made)
        return version >= made

    def view(self, folder: NodeId, tokens: list[Token]) -> FolderView | None:
        """Return how a folder is, if as much of it is known as these names need."""
        view = self._views.get(folder)
        return view if view is not None and view.tree.shows(tokens) else None
