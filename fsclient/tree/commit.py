"""Changing folders: several changes are signed together and committed as one.

A change is described once and can be signed again on top of another state: if another person
changed the same folder first, the server answers with the folder as it is now, each change is
checked against that, and only the signatures are made anew; no content is sent twice. Just so
when a connection was lost and nobody knows what had become of a commit.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from fsclient.tree.contents import RefusedEntry
from fsclient.tree.draft import Draft, NextVersion, SignedCommit
from fsclient.tree.folder_cache import PendingRequest
from fsclient.tree.nodes import FolderView, TreeNode
from fsclient.tree.tree import Tree
from fsproto.errors import (
    ConflictError,
    ExistsError,
    NotAllowedError,
    RemoteProtocolError,
    Unreachable,
)
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.messages.base import Done
from fsproto.messages.files import Commit, Found, InlineBlob, Lookup, Stale
from fsproto.messages.shares import NewMembers
from fsproto.names import check_new_name
from fsproto.packing import unpack
from fsproto.proofs.prefix_tree import FolderEntry
from fsproto.sealed.folder import FolderState
from fsproto.sealed.manifest import Metadata, Mode, VerifiedManifest, renamed
from fsproto.types import NO_NODE, Hash, NodeId, Token
from fsproto.values import Value

_TRIES = 100
_LONGEST_PAUSE_S = 0.25
_MANIFEST_BYTES = 1400
"""More than a manifest and its removal take in a commit."""

_Step = Callable[[Draft], None]


class _Sent(Value, frozen=True):
    """A commit that was sent, and its base; its answer is awaited, or was lost."""

    asked: PendingRequest
    mark: int
    views: dict[NodeId, FolderView]
    signed: SignedCommit


class Committer:
    """Changes to one tree that are committed together."""

    def __init__(self, tree: Tree) -> None:
        """Begin with none."""
        self._tree = tree
        self._sent: _Sent | None = None
        """The last commit that may have reached the server."""
        self._lost: Unreachable | None = None
        """Why the last attempt may not have done so."""
        self._used = tree.context.connection
        """What the last attempt was made over."""
        self._folders: dict[NodeId, tuple[KeyedNode, list[Token]]] = {}
        """Those that change, as they are before it, and what is asked of them."""
        self._renewed: set[NodeId] = set()
        """Those of them that take a new key."""
        self._lists: list[Callable[[], NewMembers]] = []
        self.above: dict[NodeId, NodeId] = {}
        """The folders that are made, and what each of them lies in."""
        self._steps: list[_Step] = []
        self._blobs: list[InlineBlob] = []
        self.size = 0
        """About how many bytes the commit has so far."""

    def __len__(self) -> int:
        return len(self._steps) + len(self._lists)

    def make_folder(
        self, parent: KeyedNode, name: str, mtime_ns: int, instead: TreeNode | None = None
    ) -> KeyedNode:
        """Make a new folder; return it, for the entries that are put into it.

        It replaces a file only if this is the one given as `instead`.
        """
        check_new_name(name)
        child = new_node(os.urandom)
        tokens = self._touch(parent, name)
        metadata = Metadata(name, 0, mtime_ns, Mode.REGULAR, file_key=None)
        self._folders[child.node] = child, []
        self.above[child.node] = parent.node

        def step(draft: Draft) -> None:
            if _known(draft.entry(parent, tokens)) != _known(instead):
                raise ExistsError(f"Somebody else made '{name}' meanwhile.")
            draft.place(parent, tokens, NextVersion(child, None, metadata, None))

        self._steps.append(step)
        return child

    def makes(self, node: NodeId) -> bool:
        """Return whether a folder is one of those that are made."""
        return node in self.above

    def put_file(
        self,
        parent: KeyedNode,
        file: NextVersion,
        inline: InlineBlob | None,
        instead: TreeNode | None = None,
    ) -> None:
        """Put a file, in place of the version it had before if there was one.

        What is no version of it, a folder with everything in it say, takes its leave for it only
        if it is the one given as `instead`.
        """
        before, name = file.before, file.metadata.name
        if before is None:
            check_new_name(name)
        if file.content is None:  # a folder
            self._renew(file.node.node)
        tokens = self._touch(parent, name)
        if inline is not None:
            self._blobs.append(inline)
            self.size += len(inline.data) + 64

        def step(draft: Draft) -> None:
            if _known(draft.entry(parent, tokens)) != (_known(instead) or _known(before)):
                raise ConflictError(
                    f"Somebody else changed '{name}' meanwhile; yours was not put.",
                    hint="Look at theirs, then put yours again.",
                )
            draft.place(parent, tokens, file)

        self._steps.append(step)

    def describe(self, parent: KeyedNode, found: TreeNode, metadata: Metadata) -> None:
        """Give a file or folder other metadata, under the name and around the content it has."""
        before = found.manifest
        next_version = NextVersion(found.keyed, before, metadata, before.body.content)
        self.put_file(parent, next_version, None)

    def remove(self, parent: KeyedNode, found: TreeNode) -> None:
        """Remove a file, or a folder with everything in it."""
        tokens = self._touch(parent, found.metadata.name)

        def step(draft: Draft) -> None:
            draft.take_out(parent, tokens, found)

        self._steps.append(step)

    def remove_refused(self, refused: RefusedEntry) -> None:
        """Remove an entry that does not verify, with everything in it."""
        parent, entry = refused.folder.keyed, refused.entry
        self._touch_tokens(parent, lambda _: [entry.token])

        def step(draft: Draft) -> None:
            draft.take_out_entry(
                parent, entry, f"The entry {refused.id} of '{refused.folder.path}'"
            )

        self._steps.append(step)

    def move(
        self,
        found: TreeNode,
        source: KeyedNode,
        target: KeyedNode,
        name: str,
        replaced: TreeNode | None,
        *,
        renew: bool = False,
    ) -> None:
        """Move a file or folder to another folder, another name, or both.

        It takes a new key if it is to be seen by fewer people there (`renew`), or is due for one.
        """
        if name != found.metadata.name:
            check_new_name(name)
        renew = renew or found.is_due_on_path
        if renew and found.is_folder:
            self._draw_key(found)
        old, new = self._touch(source, found.metadata.name), self._touch(target, name)
        before, metadata = found.manifest, renamed(found.metadata, name)

        def step(draft: Draft) -> None:
            draft.take_out(source, old, found)
            entry = draft.entry(target, new)
            if (entry and entry.node) != (replaced and replaced.keyed.node):
                raise ExistsError(f"There is a '{name}' already.")
            moved = NextVersion(found.keyed, before, metadata, before.body.content, renew)
            draft.place(target, new, moved)

        self._steps.append(step)

    def bring_back(self, found: TreeNode, target: KeyedNode, what: NextVersion) -> None:
        """Give something that was removed a place again; `ExistsError` if the name is taken."""
        if what.renew and found.is_folder:
            self._draw_key(found)
        name = what.metadata.name
        tokens = self._touch(target, name)

        def step(draft: Draft) -> None:
            if draft.entry(target, tokens) is not None:
                raise ExistsError(f"There is a '{name}' already.")
            draft.place(target, tokens, what)

        self._steps.append(step)

    def renew(self, found: TreeNode) -> None:
        """Give a file or folder a new key; what lies in a folder is due for one from then on."""
        above = found.above
        if above is None:
            raise NotAllowedError(f"'{found.path}' takes its key from its owner alone.")
        if found.is_folder:
            self._draw_key(found)
        tokens = self._touch(above.keyed, found.metadata.name)
        before = found.manifest
        what = NextVersion(found.keyed, before, found.metadata, before.body.content, renew=True)

        def step(draft: Draft) -> None:
            if _known(draft.entry(above.keyed, tokens)) != _known(found):
                raise ConflictError(f"Somebody else changed '{found.path}' meanwhile; try again.")
            draft.place(above.keyed, tokens, what)

        self._steps.append(step)

    def set_members(self, make: Callable[[], NewMembers]) -> None:
        """Give a node the member list that `make` signs when the commit is signed."""
        self._lists.append(make)

    def commit(self) -> None:
        """Sign and commit; `ConflictError` if another person changed the same entries first."""
        self.send()
        self.finish()

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
        unsure: list[SignedCommit] = []
        for attempt in range(_TRIES):
            try:
                answer = self._answer()
            except Unreachable as lost:
                unsure += [self._sent.signed] if self._sent else []
                answer = self._after(lost)
            if isinstance(answer, SignedCommit):
                made: SignedCommit | None = answer
            else:
                views = answer
                made = next((one for one in unsure if one.was_made(views)), None)
            if made is not None:
                note = partial(self._tree.note_committed, made.states, made.manifests, made.mark)
                self._tree.context.retry.run(note)
                self._tree.context.retry.progressed()
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

    def _touch(self, folder: KeyedNode, name: str) -> list[Token]:
        if folder.node == NO_NODE:
            raise NotAllowedError(
                "Only its owner can put something beside what is shared with you.",
                hint="Put it into one of the shared folders, if you may write there.",
            )
        return self._touch_tokens(folder, lambda now: now.tokens(name))

    def _touch_tokens(
        self, folder: KeyedNode, tokens_of: Callable[[KeyedNode], list[Token]]
    ) -> list[Token]:
        self._renew(folder.node)
        folder = self._tree.context.pending_keys.current(folder)
        tokens = tokens_of(folder)
        self._folders.setdefault(folder.node, (folder, []))[1].extend(tokens)
        self.size += _MANIFEST_BYTES
        return tokens

    def _renew(self, node: NodeId) -> None:
        """Give a folder the new key that it is due for, and before that those it lies in."""
        due = self._tree.context.pending_keys.pending(node)
        if due is not None:
            self.renew(due)

    def _draw_key(self, folder: TreeNode) -> None:
        node = folder.keyed.node
        self._folders.setdefault(node, (self._tree.context.pending_keys.current(folder.keyed), []))
        self._tree.context.pending_keys.renew(folder.keyed)
        self._renewed.add(node)

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


def _known(what: FolderEntry | VerifiedManifest | TreeNode | None) -> tuple[NodeId, Hash] | None:
    """Return which version of which node an entry must name to be this one."""
    match what:
        case FolderEntry():
            return what.node, what.manifest
        case TreeNode():
            return what.keyed.node, what.manifest.hash
        case VerifiedManifest():
            return what.body.node, what.hash
    return None
