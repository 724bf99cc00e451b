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
    Kind,
    Manifest,
    Metadata,
    Mode,
    VerifiedManifest,
    seal_metadata,
    sign_manifest,
)
from fsproto.sealed.prefixtree import Entry, PrefixTree
from fsproto.types import NO_HASH, Hash, NodeId, Token

_TRIES = 100
_LONGEST_PAUSE_S = 0.25
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

    trees: dict[NodeId, PrefixTree]
    manifests: list[VerifiedManifest] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)


_Step = Callable[[_Draft], None]


class Changes:
    """Changes to one's own tree that are committed together."""

    def __init__(self, tree: Tree) -> None:
        """Begin with none."""
        self._tree = tree
        self._folders: dict[NodeId, tuple[KeyedNode, list[Token]]] = {}
        self._new: set[NodeId] = set()
        self._steps: list[_Step] = []
        self._blobs: list[InlineBlob] = []
        self.size = 0
        """About how many bytes the commit has so far."""

    def __len__(self) -> int:
        return len(self._steps)

    def make_folder(
        self, parent: KeyedNode, name: str, mtime_ns: int, instead: Located | None = None
    ) -> KeyedNode:
        """Make a folder that is not there yet; return it, to put things into.

        A file takes its leave for it only if it is the one given as `instead`.
        """
        child = new_node(os.urandom)
        token = self._touch(parent, name)
        metadata = Metadata(name, 0, mtime_ns, Mode.REGULAR, file_key=None)
        self._folders[child.node] = child, []
        self._new.add(child.node)

        def step(draft: _Draft) -> None:
            if _known(draft.trees[parent.node].get(token)) != _known(instead):
                raise ExistsError(f"Somebody else made '{name}' meanwhile.")
            self._place(draft, parent, token, NextVersion(child, None, metadata, None))

        self._steps.append(step)
        return child

    def put_file(
        self,
        parent: KeyedNode,
        file: NextVersion,
        inline: InlineBlob | None,
        instead: Located | None = None,
    ) -> None:
        """Put a file, in place of the version it had before if there was one.

        What is no version of it, a folder with everything in it say, takes its leave for it only
        if it is the one given as `instead`.
        """
        before, name = file.before, file.metadata.name
        token = self._touch(parent, name)
        if inline is not None:
            self._blobs.append(inline)
            self.size += len(inline.data) + 64

        def step(draft: _Draft) -> None:
            entry = draft.trees[parent.node].get(token)
            if _known(entry) != (_known(instead) or _known(before)):
                raise ConflictError(
                    f"Somebody else changed '{name}' meanwhile; yours was not put.",
                    hint="Look at theirs, then put yours again.",
                )
            self._place(draft, parent, token, file)

        self._steps.append(step)

    def describe(self, parent: KeyedNode, found: Located, metadata: Metadata) -> None:
        """Give a file or folder other metadata, under the name and around the content it has."""
        before = found.manifest
        next_version = NextVersion(found.keyed, before, metadata, before.body.content)
        self.put_file(parent, next_version, None)

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
        metadata = Metadata(name, was.size, was.mtime_ns, was.mode, was.file_key)

        def step(draft: _Draft) -> None:
            self._take_out(draft, source, old, found)
            entry = draft.trees[target.node].get(new)
            if (entry and entry.node) != (replaced and replaced.keyed.node):
                raise ExistsError(f"There is a '{name}' already.")
            moved = NextVersion(found.keyed, before, metadata, before.body.content)
            self._place(draft, target, new, moved)

        self._steps.append(step)

    def commit(self) -> None:
        """Sign and commit; `ConflictError` if what was to be changed was changed meanwhile."""
        if not self._steps:
            return
        views = self._look()
        for attempt in range(_TRIES):
            draft, states = self._sign(views)
            ask = Commit(
                [state.signed for state in states],
                [manifest.signed for manifest in draft.manifests],
                draft.removals,
                self._blobs,
            )
            mark = self._tree.memory.mark()
            answer = self._tree.connection.call(ask, Done, Stale)
            if not isinstance(answer, Stale):
                self._tree.remember(states, draft.manifests)
                return
            self._blobs = []  # the server has kept them
            views = self._again(answer, views, mark)
            # Whoever lost steps back a little, so that not all come again at the same moment.
            time.sleep(random.uniform(0, min(_LONGEST_PAUSE_S, 0.004 * 2**attempt)))  # noqa: S311
        raise ConflictError("Too many others change this folder right now; try again.")

    # --- how

    def _touch(self, folder: KeyedNode, name: str) -> Token:
        token = folder.token(name)
        self._folders.setdefault(folder.node, (folder, []))[1].append(token)
        self.size += _MANIFEST_BYTES
        return token

    def _look(self) -> dict[NodeId, View]:
        """Ask for every folder that is not new, all at once."""
        mark = self._tree.memory.mark()
        link = self._tree.connection
        asked = [
            (folder, tokens, link.send(Lookup(folder.node, tokens)))
            for folder, tokens in self._folders.values()
            if folder.node not in self._new
        ]
        return {
            folder.node: self._tree.verified_view(folder, tokens, link.answer(number, Found), mark)
            for folder, tokens, number in asked
        }

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
        trees = {node: view.tree for node, view in views.items()}
        draft = _Draft(trees | {node: PrefixTree() for node in self._new})
        for step in self._steps:
            step(draft)
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
        signed = sign_manifest(identity.signing, body)
        draft.manifests.append(signed)
        entry = Entry(token, node.node, signed.hash)
        draft.trees[parent.node] = draft.trees[parent.node].put(entry)

    def _take_out(self, draft: _Draft, parent: KeyedNode, token: Token, found: Located) -> None:
        entry = draft.trees[parent.node].get(token)
        if entry is None or (entry.node, entry.manifest) != (found.keyed.node, found.manifest.hash):
            raise ConflictError(f"Somebody else changed or removed '{found.path}' meanwhile.")
        draft.removals.append(Removal(parent.node, token))
        draft.trees[parent.node] = draft.trees[parent.node].remove(token)


def _known(what: Entry | VerifiedManifest | Located | None) -> tuple[NodeId, Hash] | None:
    """Return which version of which node an entry must name to be this one."""
    match what:
        case Entry():
            return what.node, what.manifest
        case Located():
            return what.keyed.node, what.manifest.hash
        case VerifiedManifest():
            return what.body.node, what.hash
    return None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
