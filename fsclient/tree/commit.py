"""Committing: a set of changes is signed as one, sent, and signed again where that is needed.

If another person changed the same folder first, the server answers with the folder as it is now.
Each change is checked against that, and only the signatures are made again; no content is sent
twice. The same happens if a connection was lost and the result of a commit is unknown.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from fsclient.tree.changes import ChangeSet
from fsclient.tree.draft import Draft, SignedCommit
from fsclient.tree.folder_cache import PendingRequest
from fsclient.tree.nodes import FolderView
from fsclient.tree.tree import Tree
from fsproto.errors import (
    ConflictError,
    ExistsError,
    RemoteProtocolError,
    Unreachable,
)
from fsproto.keys.tree import KeyedNode
from fsproto.messages.base import Done
from fsproto.messages.files import Commit, Found, Lookup, Stale
from fsproto.packing import unpack
from fsproto.sealed.folder import FolderState, VerifiedState
from fsproto.sealed.manifest import VerifiedManifest
from fsproto.types import Hash, NodeId, Token
from fsproto.values import Value

_TRIES = 100
_LONGEST_PAUSE_S = 0.25


class _Sent(Value, frozen=True):
    """A commit that was sent, and its base; its answer is awaited, or was lost."""

    asked: PendingRequest
    mark: int
    views: dict[NodeId, FolderView]
    signed: SignedCommit


class MadeCommit(Value, frozen=True):
    """A commit that the server has made."""

    states: dict[NodeId, VerifiedState]
    """The new state of each changed folder."""
    manifests: list[VerifiedManifest]
    before: dict[NodeId, Hash]
    """The state of each folder on which the commit was built, as far as that is known."""
    new: frozenset[NodeId]
    """The folders that the commit has created."""


class Committer(ChangeSet):
    """A set of changes, and its way to the server."""

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self._sent: _Sent | None = None
        """The last commit that may have reached the server."""
        self._unsure: list[SignedCommit] = []
        """Commits whose answer was lost: the server may have made one of them."""
        self._lost: Unreachable | None = None
        """Why the last attempt may not have done so."""
        self._used = tree.context.connection
        """The connection of the last attempt."""
        self._made: SignedCommit | None = None
        """The attempt that the server has made."""

    def commit(self) -> MadeCommit:
        """Sign and commit; `ConflictError` if another person changed the same entries first."""
        self.send()
        self.finish()
        if self._made is None:
            return MadeCommit({}, [], {}, frozenset())
        sent = self._sent if self._sent and self._sent.signed is self._made else None
        before = {node: view.state.hash for node, view in sent.views.items()} if sent else {}
        states = {state.body.folder: state for state in self._made.states}
        return MadeCommit(states, self._made.manifests, before, frozenset(self.above))

    def send(self) -> None:
        """Sign and send, without waiting for what becomes of it; `finish` tells."""
        if not len(self):
            return
        known = self._known()
        with self._forgetting():
            try:
                self._attempt(known)
            except (ConflictError, ExistsError):
                if not known:
                    raise
                self._attempt({})  # what was known may be out of date

    @property
    def is_unsure(self) -> bool:
        """Return whether the connection was lost after the send: then nothing can build on it."""
        gone = self._used is not self._tree.context.connection or not self._used.usable
        return bool(len(self)) and (self._lost is not None or gone)

    def finish(self) -> None:
        """Wait for the answer to what was sent; raises the same errors as `commit`."""
        if not len(self):
            return
        with self._forgetting():
            self._finish()

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        """Forget the new keys of a change that fails."""
        try:
            yield
        except BaseException:
            self._tree.context.pending_keys.forget(self._renewed)
            raise

    def _finish(self) -> None:
        for attempt in range(_TRIES):
            try:
                answer = self._answer()
            except Unreachable as lost:
                self._unsure += [self._sent.signed] if self._sent else []
                answer = self._after(lost)
            if isinstance(answer, SignedCommit):
                made: SignedCommit | None = answer
            else:
                views = answer
                made = next((one for one in self._unsure if one.was_made(views)), None)
            if made is not None:
                note = partial(self._tree.note_committed, made.states, made.manifests, made.mark)
                self._tree.context.retry.run(note)
                self._tree.context.retry.progressed()
                self._made = made
                return
            # Wait a random time, so that not all writers try again at the same moment.
            time.sleep(random.uniform(0, min(_LONGEST_PAUSE_S, 0.004 * 2**attempt)))  # noqa: S311
            self._attempt({}, views)
        raise ConflictError("Too many others change this folder right now; try again.")

    # --- how

    def _attempt(
        self, known: dict[NodeId, FolderView], views: dict[NodeId, FolderView] | None = None
    ) -> None:
        """Sign and send, on top of `views`, or of what is known and what the server says.

        That the connection is lost is left to `finish`: what was sent before must be seen to
        first, as this may build upon it.
        """
        self._sent = self._lost = None
        self._used = self._tree.context.connection
        try:
            self._send(self._look(known) if views is None else views)
        except Unreachable as lost:
            self._lost = lost

    def _send(self, views: dict[NodeId, FolderView]) -> None:
        draft = Draft(self._tree, views, set(self.above))
        for step in self._steps:
            step(draft)
        mark, link = self._tree.context.memory.mark(), self._tree.context.connection
        signed = draft.sign([keyed for keyed, _ in self._folders.values()], mark)
        ask = Commit(
            [state.signed for state in signed.states],
            [manifest.signed for manifest in signed.manifests],
            signed.removals,
            self._blobs,
            [make() for make in self._lists],
        )
        self._sent = _Sent(PendingRequest(link, link.last_request + 1), mark, views, signed)
        link.send(ask, ahead=True)
        if self._tree.cache is not None:
            for folder, view in signed.after.items():
                self._tree.cache.note(folder, view)

    def _answer(self) -> SignedCommit | dict[NodeId, FolderView]:
        """Wait for the answer: what was made, or the folders as others have left them."""
        sent = self._sent
        if sent is None or self._lost is not None:
            raise self._lost or Unreachable("Nothing was sent.")
        answer = sent.asked.connection.answer(sent.asked.request, Done, Stale)
        if not isinstance(answer, Stale):
            self._note_made(sent)
            return sent.signed
        self._blobs = []  # the server has kept them
        return self._again(answer, sent)

    def _after(self, lost: Unreachable) -> dict[NodeId, FolderView]:
        """Return the folders as they are now, over a new connection."""
        retry = self._tree.context.retry
        if self._tree.context.connection is self._used:
            retry.recover(lost)
        return retry.run(partial(self._look, {}))

    def _known(self) -> dict[NodeId, FolderView]:
        """Return folders that need not be asked for."""
        cache = self._tree.cache
        if cache is None:
            return {}
        found = {node: cache.view(node, tokens) for node, (_, tokens) in self._old()}
        return {node: view for node, view in found.items() if view is not None}

    def _old(self) -> list[tuple[NodeId, tuple[KeyedNode, list[Token]]]]:
        """Return the folders that are there already."""
        return [item for item in self._folders.items() if item[0] not in self.above]

    def _look(self, known: dict[NodeId, FolderView]) -> dict[NodeId, FolderView]:
        """Ask for all folders that are neither new nor known, in one round trip."""
        mark = self._tree.context.memory.mark()
        link = self._tree.context.connection
        asked = [
            (folder, tokens, link.send(Lookup(folder.node, tokens)))
            for node, (folder, tokens) in self._old()
            if node not in known
        ]
        return known | {
            folder.node: self._tree.verified_view(folder, tokens, link.answer(number, Found), mark)
            for folder, tokens, number in asked
        }

    def _note_made(self, sent: _Sent) -> None:
        if self._tree.cache is not None:
            for state in sent.signed.states:
                self._tree.cache.note_made(state.body.folder, state.body.version, sent.asked)

    def _again(self, answer: Stale, sent: _Sent) -> dict[NodeId, FolderView]:
        """Check the folders that the server says have changed."""
        views: dict[NodeId, FolderView] = {}
        cache, is_new = self._tree.cache, True
        for found in answer.folders:
            named = unpack(found.state.payload, FolderState).folder
            if named in self.above and self._unsure:
                return self._look({})  # an earlier send has just made this folder
            if named not in self._folders or named in self.above:
                raise RemoteProtocolError(
                    "The server answered for a folder that was not asked for."
                )
            folder, tokens = self._folders[named]
            views[named] = view = self._tree.verified_view(folder, tokens, found, sent.mark)
            if cache is not None:
                is_new &= cache.shows_all(named, view.state.body.version, sent.asked)
        if not is_new or len(views) != len(self._folders) - len(self.above):
            # A commit before this one was too late as well, and has been made since: so has,
            # perhaps, a folder that the answer lacks.
            return self._look({})
        if all(view.state.hash == sent.views[node].state.hash for node, view in views.items()):
            raise RemoteProtocolError("The server refused a change to what has not changed.")
        return views
