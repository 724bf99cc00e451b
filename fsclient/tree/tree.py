"""From paths to verified nodes.

Everything that the server says about folders is checked against signatures, proofs, keys and the
versions seen before; nothing unverified leaves this module.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import TypeVar

from fsclient.tree.contents import (
    FolderContents,
    RefusedEntry,
    RefusedShare,
    one_node_twice,
    two_of_one_name,
)
from fsclient.tree.context import TreeContext
from fsclient.tree.folder_cache import FolderCache
from fsclient.tree.followed import FollowedFolders
from fsclient.tree.listing import AskedListing, Listing
from fsclient.tree.nodes import FolderView, TreeNode, entry_of, seen_manifest, seen_state
from fsclient.tree.shared_with_me import SharedWithMe
from fsclient.tree.stored_contents import stored_contents
from fsclient.trust.sightings import Sighting
from fsproto.errors import (
    FsError,
    IntegrityError,
    NotFoundError,
    RemoteProtocolError,
    SecurityError,
    SignatureError,
    Unreachable,
)
from fsproto.keys.tree import KeyedNode
from fsproto.messages.files import Entries, Found, GetStates, List, Listed, Lookup, States
from fsproto.names import RemotePath
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed.folder import VerifiedState
from fsproto.sealed.manifest import (
    NodeKind,
    VerifiedManifest,
    open_metadata,
    pinned_manifest,
)
from fsproto.types import NO_NODE, NodeId, Token

T = TypeVar("T")

_LISTINGS_AHEAD = 8
"""Folders that are requested before the first answer is processed."""


class Tree:
    """One person's own tree, and the shares of others with this person."""

    def __init__(
        self,
        context: TreeContext,
        root: TreeNode,
        shared: SharedWithMe | None = None,
        cache: FolderCache | None = None,
        followed: FollowedFolders | None = None,
        *,
        only_lists: bool = False,
    ) -> None:
        """Take the opened root (`open_root`); `caching`, `following`, `listing` set the others."""
        self.context = context
        self.root = root
        self.shared = shared or SharedWithMe(context)
        self.cache = cache
        self.followed = followed
        self._stored = context.stored_listings if only_lists else None
        context.authors.second_look.entry_now = self._entry_now

    def caching(self) -> Tree:
        """Return this tree with a cache of folders, for many changes in a row."""
        return Tree(self.context, self.root, self.shared, FolderCache(), self.followed)

    def following(self) -> Tree:
        """Return this tree; it records the folders that it lists, and its own changes of them."""
        return Tree(self.context, self.root, self.shared, self.cache, FollowedFolders())

    def listing(self) -> Tree:
        """Return this tree for a command that only lists: large listings are stored on disk.

        A folder whose state is the one of its stored listing is not listed by the server again.
        """
        return Tree(self.context, self.root, self.shared, only_lists=True)

    def start_command(self) -> None:
        """Forget the answers that may have changed since the last command of this session."""
        self.context.start_command()
        self.shared.forget()

    def in_anothers(self, folder: NodeId) -> NodeId | None:
        """Return a folder if it is in another user's tree; None if it is in the user's own."""
        own = self.context.places.owner_of(folder) == self.context.identity.user
        return None if own else folder

    # --- looking

    def find(self, path: RemotePath) -> TreeNode:
        """Return the node at `path`; `NotFoundError` if there is none."""
        found = self.reach(path)[-1]
        if len(found.path.parts) < len(path.parts):
            missing = found.path.child(path.parts[len(found.path.parts)])
            raise NotFoundError(f"There is no '{missing}'.")
        if path.names_folder and not found.is_folder:
            raise NotFoundError(f"'{found.path}' is a file, not a folder.")
        return found

    def reach(self, path: RemotePath) -> list[TreeNode]:
        """Return the nodes from the root towards `path`, as far as they exist."""
        own = path.owner in (None, self.context.identity.user)
        way = [self.root if own else self.shared.head(path.owner or "")]
        for name in path.parts:
            here = way[-1]
            if not here.is_folder:
                raise NotFoundError(f"'{here.path}' is a file, not a folder.")
            below = self.look(here, [name])[name]
            if below is None:
                break
            way.append(below)
        return way

    def look(self, folder: TreeNode, names: Sequence[str]) -> dict[str, TreeNode | None]:
        """Return the nodes of a folder under some names; None if the name is proved absent.

        Raises `IntegrityError` if one of them does not verify.
        """
        found: dict[str, TreeNode | None] = {}
        for name, there in self.look_each(folder, names).items():
            if isinstance(there, RefusedEntry | RefusedShare):
                raise there.error
            found[name] = there
        return found

    def look_each(
        self, folder: TreeNode, names: Sequence[str]
    ) -> dict[str, TreeNode | RefusedEntry | RefusedShare | None]:
        """Return the nodes of a folder under some names, as `look` does, or the refused entries."""
        if folder.keyed.node == NO_NODE:
            contents = self.children(folder)
            tops = {one.path.name: one for one in contents.nodes}
            # The name of a refused share is unknown: it may be any that is missing.
            unknown = next((one for one in contents.refused), None)
            return {name: tops.get(name) or unknown for name in names}
        tokens = {name: folder.keyed.tokens(name) for name in names}
        view = self.view(folder.keyed, [token for some in tokens.values() for token in some])
        found: dict[str, TreeNode | RefusedEntry | RefusedShare | None] = {}
        for name, some in tokens.items():
            there = [view.found[token] for token in some if token in view.found]
            if len(there) > 1:
                found[name] = self._refused(folder, view.state, there[0], two_of_one_name())
            else:
                found[name] = self._met(folder, view.state, there[0], name) if there else None
        return found

    def step(self, folder: TreeNode, token: Token) -> TreeNode | None:
        """Return the node of a folder under a token; None if the token is proved absent.

        Raises `IntegrityError` if the entry does not verify.
        """
        there = self.steps(folder, [token])[token]
        if isinstance(there, FsError):
            raise there
        return there

    def steps(
        self, folder: TreeNode, tokens: list[Token]
    ) -> dict[Token, TreeNode | FsError | None]:
        """Return the nodes of a folder under some tokens, as `step` does, or its errors."""
        view = self.view(folder.keyed, tokens)
        met = {token: self._met(folder, view.state, one) for token, one in view.found.items()}
        found = {token: met.get(token) for token in tokens}
        return {
            token: one.error if isinstance(one, RefusedEntry) else one
            for token, one in found.items()
        }

    def children(self, folder: TreeNode) -> FolderContents:
        """Return everything in a folder; nothing can be missing or added."""
        if folder.keyed.node == NO_NODE:
            return self.shared.entries(folder.path.owner or "")
        return self.context.retry.run(partial(self._children, folder))

    def listings(
        self, folders: deque[tuple[TreeNode, T]]
    ) -> Iterator[tuple[T, FolderContents | FsError]]:
        """Yield the contents of each of some folders, or the error that prevents it.

        The next folders are requested while the first are processed; more may be added at any time.
        """
        asked: deque[tuple[TreeNode, T, AskedListing]] = deque()
        try:
            yield from self._listings(folders, asked)
        finally:
            if asked:  # nothing else could be asked before their answers are read
                self.context.connection.close()

    def _listings(
        self,
        folders: deque[tuple[TreeNode, T]],
        asked: deque[tuple[TreeNode, T, AskedListing]],
    ) -> Iterator[tuple[T, FolderContents | FsError]]:
        """Do so; `asked` are the requests whose answers are not read yet."""
        changed: set[NodeId] = set()
        while folders or asked:
            try:
                while folders and len(asked) < _LISTINGS_AHEAD:
                    folder, name = folders[0]
                    if folder.keyed.node == NO_NODE:
                        if asked:
                            break
                        folders.popleft()
                        yield name, self.children(folder)
                        continue
                    new = self._ask(folder.keyed.node, stored=folder.keyed.node not in changed)
                    asked.append((folder, name, new))
                    folders.popleft()
                if not asked:
                    continue
                folder, name, question = asked[0]
                found: FolderContents | FsError | None = self._answer(folder, question)
            except Unreachable as lost:
                folders.extendleft((folder, name) for folder, name, *_ in reversed(asked))
                asked.clear()
                self.context.retry.recover(lost)
                continue
            except FsError as error:
                if not self.context.connection.usable:
                    raise
                found = error
            asked.popleft()
            self.context.retry.progressed()
            if found is None:
                changed.add(folder.keyed.node)
                folders.appendleft((folder, name))
            else:
                yield name, found

    def _children(self, folder: TreeNode) -> FolderContents:
        self.context.catch_up()
        found = self._answer(folder, self._ask(folder.keyed.node))
        return found or self._listing(folder, self._ask(folder.keyed.node, stored=False))

    def _ask(self, folder: NodeId, *, stored: bool = True) -> AskedListing:
        """Ask for a listing; if one is `stored`, for the state of the folder alone."""
        mark = self.context.memory.mark()
        stored = stored and self._stored is not None and self._stored.has(folder)
        question = GetStates([folder]) if stored else List(folder)
        return AskedListing(self.context.connection.send(question), mark, stored)

    def _answer(self, folder: TreeNode, asked: AskedListing) -> FolderContents | None:
        """Return the verified answer; None if the stored listing is of another state."""
        if not asked.stored:
            return self._listing(folder, asked)
        states = self.context.connection.answer(asked.request, States).states
        if len(states) != 1:
            raise RemoteProtocolError("The server answered for other folders than requested.")
        if states[0] is None or self._stored is None:
            return None
        return stored_contents(self.context, self._stored, folder, states[0], asked.mark)

    def _listing(self, folder: TreeNode, asked: AskedListing) -> FolderContents:
        connection, request = self.context.connection, asked.request
        with closing(Listing()) as listing:
            try:
                while isinstance(answer := connection.answer(request, Entries, Listed), Entries):
                    listing.add(answer.manifests)
            except SecurityError:
                connection.close()  # the rest of the answer may never end
                raise
            if not isinstance(answer, Listed):
                raise RemoteProtocolError("The server did not complete its listing.")
            state = self.context.authors.state(answer.state, folder.keyed)
            manifests, tree = listing.proved(state.body.root)
        self._check_heads(state, manifests)
        self.context.authors.prepare(folder.keyed.node, manifests)
        seen = [seen_state(state), *map(seen_manifest, manifests)]
        now = self.context.check_present(seen, asked.mark)
        if self.cache is not None:
            self.cache.note(folder.keyed.node, FolderView(state, tree, {}))
        if self.followed is not None:
            self.followed.listed(state, manifests)
        contents = self._contents(folder, state, manifests)
        if self._stored is not None and not contents.refused:
            self._stored.save(folder, state, contents.nodes, now)
        return contents

    def _contents(
        self, folder: TreeNode, state: VerifiedState, manifests: Sequence[VerifiedManifest]
    ) -> FolderContents:
        """Open each entry by itself; an entry that does not verify is refused alone."""
        times = Counter(manifest.body.node for manifest in manifests)
        met = [
            self._met(folder, state, manifest)
            if times[manifest.body.node] == 1
            else self._refused(folder, state, manifest, one_node_twice())
            for manifest in manifests
        ]
        refused = [one for one in met if isinstance(one, RefusedEntry)]
        named: dict[str, list[TreeNode]] = {}
        for one in met:
            if isinstance(one, TreeNode):
                named.setdefault(one.metadata.name, []).append(one)
        for twins in named.values():
            refused += [
                self._refused(folder, state, twin.manifest, two_of_one_name())
                for twin in twins
                if len(twins) > 1
            ]
        nodes = [twins[0] for _, twins in sorted(named.items()) if len(twins) == 1]
        return FolderContents(nodes, refused)

    def view(self, folder: KeyedNode, tokens: list[Token]) -> FolderView:
        """Ask for some tokens of a folder."""
        return self.context.retry.run(partial(self._view, folder, tokens))

    def _entry_now(self, folder: KeyedNode, token: Token) -> FolderEntry | None:
        return self.view(folder, [token]).tree.get(token)

    def _view(self, folder: KeyedNode, tokens: list[Token]) -> FolderView:
        self.context.catch_up()
        mark = self.context.memory.mark()
        found = self.context.connection.interject(Lookup(folder.node, tokens), Found)
        return self.verified_view(folder, tokens, found, mark)

    def verified_view(
        self, folder: KeyedNode, tokens: list[Token], found: Found, mark: int
    ) -> FolderView:
        """Check what the server says about some tokens of a folder."""
        state = self.context.authors.state(found.state, folder)
        tree = PrefixTree.from_proof(found.proof, state.body.root)
        asked = (tree.get(token) for token in sorted(set(tokens)))
        present = [entry for entry in asked if entry is not None]
        if len(present) != len(found.manifests):
            raise IntegrityError("The server left out a manifest that its proof names.")
        manifests = {}
        for entry, signed in zip(present, found.manifests, strict=True):
            manifest = pinned_manifest(signed, entry.manifest)
            if (manifest.body.node, manifest.body.token) != (entry.node, entry.token):
                raise IntegrityError("A folder names a manifest that belongs elsewhere.")
            manifests[entry.token] = manifest
        self._check_heads(state, manifests.values())
        self.context.authors.prepare(folder.node, manifests.values())
        self.context.check_present(
            [seen_state(state), *map(seen_manifest, manifests.values())], mark
        )
        view = FolderView(state, tree, manifests)
        if self.cache is not None:
            self.cache.note(folder.node, view, tokens)
        return view

    def note_committed(
        self,
        states: Iterable[VerifiedState],
        manifests: Iterable[VerifiedManifest],
        mark: int,
        gone: Sequence[Sighting] = (),
    ) -> None:
        """Remember a commit of this client; `mark` is from before it was sent.

        `gone` are the nodes that it has removed.

        `RollbackError` if the server has shown another command other states in their place.
        """
        seen = [*map(seen_state, states), *map(seen_manifest, manifests)]
        self.context.check_seen(seen, mark)
        if gone:
            self.context.memory.remember(gone)

    # --- checking

    def _check_heads(self, state: VerifiedState, manifests: Iterable[VerifiedManifest]) -> None:
        """Check the key logs that others have seen against the log that this client has read."""
        heads = {state.body.log_head, *(manifest.body.log_head for manifest in manifests)}
        self.context.check_heads(heads)

    def _met(
        self, folder: TreeNode, state: VerifiedState, manifest: VerifiedManifest, name: str = ""
    ) -> TreeNode | RefusedEntry:
        try:
            return self.open_entry(folder, manifest, name)
        except (IntegrityError, RemoteProtocolError) as error:
            return self._refused(folder, state, manifest, error)

    def _refused(
        self,
        folder: TreeNode,
        state: VerifiedState,
        manifest: VerifiedManifest,
        why: SecurityError,
    ) -> RefusedEntry:
        """Return an entry that does not verify, with the name of a verified author."""
        body, author, signed = manifest.body, manifest.body.author, True
        try:
            self.context.authors.check_manifest(manifest)
        except SignatureError:
            author, signed = state.body.author, False
        entry = entry_of(manifest)
        is_folder = body.kind is NodeKind.FOLDER
        return RefusedEntry(folder, entry, is_folder, author, signed, why)

    def open_entry(self, folder: TreeNode, manifest: VerifiedManifest, name: str = "") -> TreeNode:
        """Open an entry of a folder with the folder's keys; with `name`, it must have this name.

        Raises `IntegrityError` or `RemoteProtocolError` if the entry does not open.
        """
        keyed = folder.keyed.open_link(manifest.body)
        metadata = open_metadata(keyed.metadata_key, manifest.body)
        if manifest.body.token not in folder.keyed.tokens(metadata.name) or (
            name and metadata.name != name
        ):
            raise IntegrityError("An entry of a folder has a name that differs from its own.")
        path = folder.path.child(metadata.name)
        found = TreeNode(path, keyed, manifest, metadata, folder)
        if found.is_folder:
            self.context.note_folder(found)
        return found
