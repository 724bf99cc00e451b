"""Changing folders: several changes are signed together and committed as one.

A change is described once and can be signed again on top of another state: when somebody else
changed the same folder first, the server answers with the folder as it is now, each change is
checked against that, and only the signatures are made anew; no content is sent twice.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fsclient.tree import Located, Tree, View
from fsproto.errors import ConflictError, ExistsError, RemoteProtocolError
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.messages.base import Done
from fsproto.messages.files import Commit, Found, InlineBlob, Lookup, Removal, Stale
from fsproto.packing import unpack
from fsproto.sealed import folder as folders
from fsproto.sealed import manifest as manifests
from fsproto.sealed.folder import FolderState, VerifiedState, sign_state
from fsproto.sealed.manifest import (
    Content,
    DraftManifest,
    Kind,
    Manifest,
    Metadata,
    VerifiedManifest,
    draft_manifest,
    seal_metadata,
    sign_manifests,
)
from fsproto.sealed.prefixtree import Edit, Entry, PrefixTree
from fsproto.types import NO_HASH, NodeId, Token

_TRIES = 100
_LONGEST_PAUSE_S = 0.25
_REMEMBERED = 64
"""Folders that a long put need not ask for again."""
_MANIFEST_BYTES = 1400
"""More than a manifest and its removal take in a commit."""


@dataclass(frozen=True)
class NextVersion:
    """What the next version of a node is to be."""

    node: KeyedNode
    before: VerifiedManifest | None
    """The version it follows; None for a new node."""
    metadata: Metadata
    content: Content | None
    """None for a folder."""


@dataclass
class _Draft:
    """A commit in the making: folders' trees as they will be."""

    edits: dict[NodeId, Edit]
    trees: dict[NodeId, PrefixTree] = field(default_factory=dict)
    """What the edits came to."""
    manifests: list[DraftManifest] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)


@dataclass(frozen=True)
class _Sent:
    """A commit that waits for its answer."""

    request: int
    mark: int
    views: dict[NodeId, View]
    states: list[VerifiedState]
    manifests: list[VerifiedManifest]


_Step = Callable[[_Draft], None]


class Lately:
    """Folders as they were last seen, or will be after what was sent, to change them further.

    Nothing here is more than a guess: if somebody else changes a folder, the server says so.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._views: dict[NodeId, View] = {}

    def note(self, folder: NodeId, view: View) -> None:
        """Note how a folder is now; those noted longest ago are forgotten."""
        self._views.pop(folder, None)
        self._views[folder] = view
        if len(self._views) > _REMEMBERED:
            del self._views[next(iter(self._views))]

    def view(self, folder: NodeId, tokens: list[Token]) -> View | None:
        """Return how a folder is, if as much of it is known as these names need."""
        view = self._views.get(folder)
        return view if view is not None and view.tree.shows(tokens) else None


class Changes:
    """Changes to one's own tree that are committed together."""

    def __init__(self, tree: Tree, lately: Lately | None = None) -> None:
        """Begin with none; several that are committed one after the other share `lately`."""
        self._tree = tree
        self._lately = lately
        self._sent: _Sent | None = None
        self._folders: dict[NodeId, tuple[KeyedNode, list[Token]]] = {}
        self._new: set[NodeId] = set()
        self._steps: list[_Step] = []
        self._blobs: list[InlineBlob] = []
        self.size = 0
        """About how many bytes the commit has so far."""

    def __len__(self) -> int:
        return len(self._steps)

    def make_folder(self, parent: KeyedNode, name: str, mtime_ns: int) -> KeyedNode:
        """Make a folder that is not there yet; return it, to put things into."""
        child = new_node(os.urandom)
        token = self._touch(parent, name)
        metadata = Metadata(name, 0, mtime_ns, executable=False, file_key=None)
        self._folders[child.node] = child, []
        self._new.add(child.node)

        def step(draft: _Draft) -> None:
            if draft.edits[parent.node].get(token) is not None:
                raise ExistsError(f"Somebody else made '{name}' meanwhile.")
            self._place(draft, parent, token, NextVersion(child, None, metadata, None))

        self._steps.append(step)
        return child

    def put_file(
        self,
        parent: KeyedNode,
        file: NextVersion,
        inline: InlineBlob | None,
    ) -> None:
        """Put a file, in place of the version it had before if there was one."""
        before, name = file.before, file.metadata.name
        token = self._touch(parent, name)
        if inline is not None:
            self._blobs.append(inline)
            self.size += len(inline.data) + 64

        def step(draft: _Draft) -> None:
            entry = draft.edits[parent.node].get(token)
            known = (before.body.node, before.hash) if before else None
            if (entry and (entry.node, entry.manifest)) != known:
                raise ConflictError(
                    f"Somebody else changed '{name}' meanwhile; yours was not put.",
                    hint="Look at theirs, then put yours again.",
                )
            self._place(draft, parent, token, file)

        self._steps.append(step)

    def remove(self, parent: KeyedNode, found: Located) -> None:
        """Remove a file, or a folder with everything in it."""
        token = self._touch(parent, found.metadata.name)

        def step(draft: _Draft) -> None:
            self._take_out(draft, parent, token, found)

        self._steps.append(step)

    def move(
        self,
        found: Located,
        source: KeyedNode,
        target: KeyedNode,
        name: str,
        replaced: Located | None,
    ) -> None:
        """Move a file or folder to another folder, another name, or both."""
        old, new = self._touch(source, found.metadata.name), self._touch(target, name)
        before, was = found.manifest, found.metadata
        metadata = Metadata(name, was.size, was.mtime_ns, was.executable, was.file_key)

        def step(draft: _Draft) -> None:
            self._take_out(draft, source, old, found)
            entry = draft.edits[target.node].get(new)
            if (entry and entry.node) != (replaced and replaced.keyed.node):
                raise ExistsError(f"There is a '{name}' already.")
            moved = NextVersion(found.keyed, before, metadata, before.body.content)
            self._place(draft, target, new, moved)

        self._steps.append(step)

    def commit(self) -> None:
        """Sign and commit; `ConflictError` if what was to be changed was changed meanwhile."""
        self.send()
        self.finish()

    def send(self) -> None:
        """Sign and send, without waiting for what becomes of it; `finish` tells."""
        if not self._steps:
            return
        known = self._known()
        try:
            self._send(self._look(known))
        except (ConflictError, ExistsError):
            if not known:
                raise
            self._send(self._look({}))  # what was known may be out of date

    def finish(self) -> None:
        """Wait for the end of what was sent; raises what `commit` does."""
        for attempt in range(_TRIES):
            sent = self._sent
            if sent is None:
                return
            answer = self._tree.connection.answer(sent.request, Done, Stale)
            if not isinstance(answer, Stale):
                self._tree.remember(sent.states, sent.manifests)
                return
            self._blobs = []  # the server has kept them
            views = self._again(answer, sent.views, sent.mark)
            # Whoever lost steps back a little, so that not all come again at the same moment.
            time.sleep(random.uniform(0, min(_LONGEST_PAUSE_S, 0.004 * 2**attempt)))  # noqa: S311
            self._send(views)
        raise ConflictError("Too many others change this folder right now; try again.")

    # --- how

    def _touch(self, folder: KeyedNode, name: str) -> Token:
        token = folder.token(name)
        self._folders.setdefault(folder.node, (folder, []))[1].append(token)
        self.size += _MANIFEST_BYTES
        return token

    def _known(self) -> dict[NodeId, View]:
        """Return folders that need not be asked for."""
        if self._lately is None:
            return {}
        found = {node: self._lately.view(node, tokens) for node, (_, tokens) in self._old()}
        return {node: view for node, view in found.items() if view is not None}

    def _old(self) -> list[tuple[NodeId, tuple[KeyedNode, list[Token]]]]:
        """Return the folders that are there already."""
        return [item for item in self._folders.items() if item[0] not in self._new]

    def _look(self, known: dict[NodeId, View]) -> dict[NodeId, View]:
        """Ask for every folder that is not new nor known, all at once."""
        mark = self._tree.memory.mark()
        link = self._tree.connection
        asked = [
            (folder, tokens, link.send(Lookup(folder.node, tokens)))
            for node, (folder, tokens) in self._old()
            if node not in known
        ]
        return known | {
            folder.node: self._tree.verified_view(folder, tokens, link.answer(number, Found), mark)
            for folder, tokens, number in asked
        }

    def _send(self, views: dict[NodeId, View]) -> None:
        """Sign on top of these folders, and send."""
        draft, states = self._sign(views)
        signed = sign_manifests(self._tree.identity.signing, draft.manifests)
        ask = Commit(
            [state.signed for state in states],
            [manifest.signed for manifest in signed],
            draft.removals,
            self._blobs,
        )
        mark = self._tree.memory.mark()
        request = self._tree.connection.send(ask, ahead=True)
        self._sent = _Sent(request, mark, views, states, signed)
        if self._lately is not None:
            for state in states:
                folder = state.body.folder
                self._lately.note(folder, View(state, draft.trees[folder], {}))

    def _again(self, answer: Stale, before: dict[NodeId, View], mark: int) -> dict[NodeId, View]:
        """Check the folders that the server says have changed."""
        views: dict[NodeId, View] = {}
        for found in answer.folders:
            named = unpack(found.state.payload, FolderState).folder
            if named not in self._folders or named in self._new:
                raise RemoteProtocolError(
                    "The server answered for a folder that was not asked for."
                )
            folder, tokens = self._folders[named]
            views[named] = self._tree.verified_view(folder, tokens, found, mark)
        if len(views) != len(self._folders) - len(self._new):
            raise ConflictError(
                "The server no longer has a folder that was to be changed.",
                hint="Somebody may have removed it at this very moment; try again.",
            )
        if all(view.state.hash == before[node].state.hash for node, view in views.items()):
            raise RemoteProtocolError("The server refused a change to what has not changed.")
        return views

    def _sign(self, views: dict[NodeId, View]) -> tuple[_Draft, list[VerifiedState]]:
        edits = {node: view.tree.edit() for node, view in views.items()}
        draft = _Draft(edits | {node: PrefixTree().edit() for node in self._new})
        for step in self._steps:
            step(draft)
        draft.trees = {node: edit.tree() for node, edit in draft.edits.items()}
        identity = self._tree.identity
        states = []
        for node, (keyed, _) in self._folders.items():
            view = views.get(node)
            body = FolderState(
                format=folders.FORMAT,
                folder=node,
                version=view.state.body.version + 1 if view else 1,
                previous=view.state.hash if view else NO_HASH,
                root=draft.trees[node].root,
                generation=keyed.generation,
                author=identity.user,
                author_key=identity.signing.public,
                time_ms=_now_ms(),
                log_head=b"",
            )
            states.append(sign_state(identity.signing, body))
        return draft, states

    def _place(
        self,
        draft: _Draft,
        parent: KeyedNode,
        token: Token,
        what: NextVersion,
    ) -> None:
        """Sign a node's next version and enter it in its folder."""
        node, before = what.node, what.before
        identity = self._tree.identity
        version = before.body.version + 1 if before else 1
        stays = before is not None and before.body.parent == parent.node
        body = Manifest(
            format=manifests.FORMAT,
            node=node.node,
            parent=parent.node,
            kind=Kind.FOLDER if what.content is None else Kind.FILE,
            version=version,
            previous=before.hash if before else NO_HASH,
            token=token,
            link=before.body.link if before and stays else parent.seal_link(node, os.urandom),
            link_generation=parent.generation,
            generation=node.generation,
            metadata=seal_metadata(
                node.metadata_key,
                node.node,
                version,
                node.generation,
                what.metadata,
                random=os.urandom,
            ),
            content=what.content,
            author=identity.user,
            author_key=identity.signing.public,
            time_ms=_now_ms(),
            log_head=b"",
        )
        drafted = draft_manifest(body)
        draft.manifests.append(drafted)
        entry = Entry(token, node.node, drafted.hash)
        draft.edits[parent.node].put(entry)

    def _take_out(self, draft: _Draft, parent: KeyedNode, token: Token, found: Located) -> None:
        entry = draft.edits[parent.node].get(token)
        if entry is None or (entry.node, entry.manifest) != (found.keyed.node, found.manifest.hash):
            raise ConflictError(f"Somebody else changed or removed '{found.path}' meanwhile.")
        draft.removals.append(Removal(parent.node, token))
        draft.edits[parent.node].remove(token)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
