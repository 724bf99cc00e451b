"""Committing: a set of changes is signed as one commit, sent, and signed again if needed.

If another person changed the same folder first, the server answers with the present folder. Each
change is checked against it, and only the signatures are made again; no content is sent twice. The
same happens if a connection was lost and the result of a commit is unknown.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
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


def pause_before_retry(attempt: int) -> None:
    """Wait a random time, so that not all writers sign again at the same moment; longer each time.

    `attempt` counts from 0.
    """
    time.sleep(random.uniform(0, min(_LONGEST_PAUSE_S, 0.004 * 2**attempt)))  # noqa: S311


class _Sent(Value, frozen=True):
    """A sent commit, and its base; its answer is awaited, or was lost."""

    asked: PendingRequest
    mark: int
    views: dict[NodeId, FolderView]
    draft: Draft
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
    """A set of changes that can be signed and sent."""

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self._sent: _Sent | None = None
        """The last commit that may have reached the server."""
        self._unsure: list[SignedCommit] = []
        """Commits whose answer was lost: the server may have made one of them."""
        self._lost: Unreachable | None = None
        """The loss of the connection in the last attempt, after which its result is unknown."""
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
        """Sign and send without waiting for the answer; `finish` reads it."""
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

    @property
    def is_made(self) -> bool:
        """Whether the server has made the changes, though something may have failed after that."""
        return self._made is not None

    def finish(self) -> None:
        """Wait for the answers to the sent commits; raises the same errors as `commit`."""
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
            if self._sent is not None:
                self._sent.draft.put_places_back()
            raise

    def _finish(self) -> None:
        lost: Unreachable | None = None
        for attempt in range(_TRIES):
            try:
                answer, lost = self._answer(), None
            except Unreachable as error:
                self._unsure += [self._sent.signed] if self._sent else []
                answer, lost = self._after(error), error
            if isinstance(answer, SignedCommit):
                made: SignedCommit | None = answer
            else:
                views = answer
                made = next((one for one in self._unsure if one.was_made(views)), None)
            if made is not None:
                self._made = made  # also if this cannot be remembered here
                note = partial(
                    self._tree.note_committed, made.states, made.manifests, made.mark, made.gone
                )
                self._tree.context.retry.run(note)
                self._tree.context.retry.progressed()
                if self._tree.followed is not None:
                    self._tree.followed.committed(made.states, made.manifests, made.removals)
                return
            pause_before_retry(attempt)
            self._attempt({}, views)
        raise lost or ConflictError("Too many others change this folder right now; try again.")

    # --- how

    def _attempt(
        self, known: dict[NodeId, FolderView], views: dict[NodeId, FolderView] | None = None
    ) -> None:
        """Sign and send, on top of `views`, or of the known folders and the server's answer.

        A lost connection is handled by `finish`: this commit may build upon an earlier one, which
        must be settled first.
        """
        self._sent = self._lost = None
        self._used = self._tree.context.connection
        try:
            self._send(self.look(known) if views is None else views)
        except Unreachable as lost:
            self._lost = lost

    def _send(self, views: dict[NodeId, FolderView]) -> None:
        mark, link = self._tree.context.memory.mark(), self._tree.context.connection
        draft, signed, ask = self.sign(views, mark)
        self._sent = _Sent(PendingRequest(link, link.last_request + 1), mark, views, draft, signed)
        link.send(ask, ahead=True)
        if self._tree.cache is not None:
            for folder, view in signed.after.items():
                self._tree.cache.note(folder, view)

    def sign(
        self, views: Mapping[NodeId, FolderView], mark: int
    ) -> tuple[Draft, SignedCommit, Commit]:
        """Sign the changes on top of the present folders; return the message that makes them.

        `mark` is the present mark of the seen versions.
        """
        draft = Draft(self._tree, views, set(self.above))
        try:
            for step in self._steps:
                step(draft)
        except BaseException:
            draft.put_places_back()
            raise
        signed = draft.sign([keyed for keyed, _ in self._folders.values()], mark)
        ask = Commit(
            [state.signed for state in signed.states],
            [manifest.signed for manifest in signed.manifests],
            signed.removals,
            self._blobs,
            [make() for make in self._lists],
        )
        return draft, signed, ask

    def _answer(self) -> SignedCommit | dict[NodeId, FolderView]:
        """Wait for the answer: the made commit, or the folders that others have changed."""
        sent = self._sent
        if sent is None or self._lost is not None:
            raise self._lost or Unreachable("Nothing was sent.")
        answer = sent.asked.connection.answer(sent.asked.request, Done, Stale)
        if not isinstance(answer, Stale):
            self._note_made(sent)
            return sent.signed
        sent.draft.put_places_back()
        self._blobs = []  # the server has kept them
        return self._again(answer, sent)

    def _after(self, lost: Unreachable) -> dict[NodeId, FolderView]:
        """Return the present folders, over a new connection."""
        retry = self._tree.context.retry
        if self._sent is not None:
            self._sent.draft.put_places_back()
        if self._tree.context.connection is self._used:
            retry.recover(lost)
        return retry.run(partial(self.look, {}))

    def _known(self) -> dict[NodeId, FolderView]:
        """Return the folders that are in the cache."""
        cache = self._tree.cache
        if cache is None:
            return {}
        found = {node: cache.view(node, tokens) for node, (_, tokens) in self._old()}
        return {node: view for node, view in found.items() if view is not None}

    def _old(self) -> list[tuple[NodeId, tuple[KeyedNode, list[Token]]]]:
        """Return the changed folders that exist already."""
        return [item for item in self._folders.items() if item[0] not in self.above]

    def look(self, known: Mapping[NodeId, FolderView]) -> dict[NodeId, FolderView]:
        """Request all folders that are neither new nor known, in one round trip."""
        mark = self._tree.context.memory.mark()
        link = self._tree.context.connection
        asked = [
            (folder, tokens, link.send(Lookup(folder.node, tokens), ahead=True))
            for node, (folder, tokens) in self._old()
            if node not in known
        ]
        return dict(known) | {
            folder.node: self._tree.verified_view(folder, tokens, link.answer(number, Found), mark)
            for folder, tokens, number in asked
        }

    def _note_made(self, sent: _Sent) -> None:
        if self._tree.cache is not None:
            for state in sent.signed.states:
                self._tree.cache.note_made(state.body.folder, state.body.version, sent.asked)

    def _answer_covers(self, signed: SignedCommit) -> bool:
        """Return whether a refusal of this commit proves every token that the changes look up.

        It proves the tokens that the commit itself carries. In a folder that has taken a new key,
        a name has several (`KeyedNode.tokens`), and a commit carries only the newest.
        """
        carried = {(one.body.parent, one.body.token) for one in signed.manifests}
        carried |= {(gone.folder, gone.token) for gone in signed.removals}
        looked_up = {(node, token) for node, (_, tokens) in self._old() for token in tokens}
        return looked_up <= carried

    def _again(self, answer: Stale, sent: _Sent) -> dict[NodeId, FolderView]:
        """Return the folders as they are now; a refusal without a change of theirs is a lie."""
        views = self._refused_views(answer, sent)
        if all(view.state.hash == sent.views[node].state.hash for node, view in views.items()):
            raise RemoteProtocolError(
                "The server refused a change as outdated, but the folders have not changed."
            )
        return views

    def _refused_views(self, answer: Stale, sent: _Sent) -> dict[NodeId, FolderView]:
        """Check the folders in the answer, or request them if the answer shows too little."""
        if not self._answer_covers(sent.signed):
            return self.look({})
        views: dict[NodeId, FolderView] = {}
        cache, is_new = self._tree.cache, True
        for found in answer.folders:
            named = unpack(found.state.payload, FolderState).folder
            if named in self.above and self._unsure:
                return self.look({})  # an earlier send has just made this folder
            if named not in self._folders or named in self.above:
                raise RemoteProtocolError("The server answered for a folder outside the request.")
            folder, tokens = self._folders[named]
            views[named] = view = self._tree.verified_view(folder, tokens, found, sent.mark)
            if cache is not None:
                is_new &= cache.shows_all(named, view.state.body.version, sent.asked)
        if not is_new or len(views) != len(self._folders) - len(self.above):
            # An earlier commit was refused too, and was made since. It may have created a folder
            # that this answer lacks.
            return self.look({})
        return views
