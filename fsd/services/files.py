"""Folders: looking names up, listing, and changing several at once.

The server cannot read names or content, but it need not take everything either: it checks each
signature, each chain of versions and each folder's root before it commits, so that an honest
server never stores what a client would refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sqlalchemy.orm import Session as Db

from fsd.blobs.base import BlobStore
from fsd.services.accounts import Principal
from fsd.services.trees import TreeCache
from fsd.store import models
from fsd.store.engine import Database
from fsd.store.repos import blobs as blob_rows
from fsd.store.repos import nodes
from fsproto.errors import ConflictError, NotAllowedError, NotFoundError, RemoteProtocolError
from fsproto.limits import MAX_COMMIT_NODES, MAX_INLINE_BLOB, MAX_PATH_PARTS
from fsproto.messages.base import Done
from fsproto.messages.files import Commit, Found, Listed, Removal, Stale
from fsproto.packing import unpack
from fsproto.sealed.folder import FolderState, VerifiedState, verify_state
from fsproto.sealed.integrity import blob_root
from fsproto.sealed.manifest import Content, Kind, VerifiedManifest, verify_author
from fsproto.sealed.prefixtree import Entry, PrefixTree
from fsproto.sealed.signed import Signed, Verifier
from fsproto.types import NO_HASH, NO_TOKEN, Hash, NodeId, Token


class Files:
    """Looking at folders and changing them; all calls block, none knows of sockets."""

    def __init__(self, database: Database, blobs: BlobStore, *, now_ms: Callable[[], int]) -> None:
        """Take the parts."""
        self._database = database
        self._blobs = blobs
        self._now_ms = now_ms
        self._trees = TreeCache()

    def lookup(self, who: Principal, folder: NodeId, tokens: list[Token]) -> Found:
        """Return a folder's state with the proof and the manifests for some tokens."""
        _check_tokens(tokens)
        with self._database.read() as db:
            _own_folder(nodes.get(db, folder), who)
            return self._found(db, nodes.state(db, folder), tokens)

    def listing(self, who: Principal, folder: NodeId) -> tuple[list[Signed], Listed]:
        """Return the manifests of everything in a folder, and the state they belong to."""
        with self._database.read() as db:
            _own_folder(nodes.get(db, folder), who)
            return nodes.listing(db, folder), Listed(nodes.signed(nodes.state(db, folder)))

    def commit(self, who: Principal, ask: Commit) -> Done | Stale:
        """Change folders, all of it or nothing; `Stale` if somebody was quicker."""
        change = _Change.verified(who, ask)
        with self._database.write() as db:
            current = nodes.states_for_update(db, change.states)
            if change.is_stale(current):
                answer = self._stale(db, who, change, current)
                self._stage(db, who, change)
                return answer
            self._stage(db, who, change)
            trees, gone = self._apply(db, who, change, current)
        for root in gone:
            self._blobs.delete(root)
        for folder, tree in trees.items():
            self._trees.put(folder, change.states[folder].hash, tree)
        return Done()

    # --- looking

    def _found(self, db: Db, state: models.FolderState, tokens: list[Token]) -> Found:
        tree = self._tree(db, state)
        entries = (tree.get(token) for token in sorted(set(tokens)))
        present = [entry.node for entry in entries if entry is not None]
        return Found(nodes.signed(state), tree.prove(tokens), nodes.manifests(db, present))

    def _tree(self, db: Db, state: models.FolderState) -> PrefixTree:
        key = NodeId(state.folder_id), Hash(state.hash)
        tree = self._trees.get(*key)
        if tree is None:
            tree = PrefixTree.build(nodes.entries(db, state.folder_id))
            self._trees.put(*key, tree)
        return tree

    def _stale(
        self, db: Db, who: Principal, change: _Change, current: dict[bytes, models.FolderState]
    ) -> Stale:
        found = []
        for folder, state in current.items():
            _own_folder(nodes.get(db, folder), who)
            found.append(self._found(db, state, change.tokens_of(NodeId(folder))))
        return Stale(found)

    # --- changing

    def _stage(self, db: Db, who: Principal, change: _Change) -> None:
        """Keep the small blobs that came with a commit, whatever becomes of it."""
        known = blob_rows.known(db, list(change.blobs))
        blob_rows.add_all(
            db,
            [
                {
                    "root": root,
                    "owner_id": who.user_id,
                    "node_id": None,
                    "salt": salt,
                    "size": len(data),
                    "created_ms": self._now_ms(),
                    "data": data,
                }
                for root, (salt, data) in change.blobs.items()
                if root not in known
            ],
        )

    def _apply(
        self,
        db: Db,
        who: Principal,
        change: _Change,
        current: dict[bytes, models.FolderState],
    ) -> tuple[dict[NodeId, PrefixTree], list[bytes]]:
        """Store a change that fits; return the new trees and the blobs to be deleted."""
        before = nodes.get_all(db, [*change.states, *change.manifests])
        old = {NodeId(folder): self._tree(db, state) for folder, state in current.items()}
        for folder in change.states:
            if not change.makes_folder(folder):
                _own_folder(before.get(folder), who)
        _check_versions(who, change, before)
        new = _changed_trees(change, old)
        displaced = _displaced(change, old, before, new)
        moved = [
            node.id
            for node in before.values()
            if node.id in change.manifests and node.parent_id is not None
        ]
        nodes.unplace(db, [*displaced, *moved])
        contents = self._contents(db, who, change, before)
        gone = self._write(db, who, change, before, contents)
        self._check_no_cycle(db, change, before)
        doomed = nodes.below(db, displaced)
        roots = blob_rows.of_nodes(db, doomed)
        nodes.drop(db, doomed)
        return new, gone + blob_rows.drop(db, roots)

    def _contents(
        self, db: Db, who: Principal, change: _Change, before: dict[bytes, models.Node]
    ) -> dict[NodeId, bytes | None]:
        """Return which blob each node of the change has; refuse content that is not there."""
        wanted = {n: m.body.content for n, m in change.manifests.items() if m.body.content}
        rows = blob_rows.get_all(db, [content.root for content in wanted.values()])
        for node, content in wanted.items():
            _check_content(who, change.manifests[node], rows.get(content.root), before.get(node))
        if len({content.root for content in wanted.values()}) != len(wanted):
            raise RemoteProtocolError("Two files of one commit name the same content.")
        return {n: c.root if (c := m.body.content) else None for n, m in change.manifests.items()}

    def _write(
        self,
        db: Db,
        who: Principal,
        change: _Change,
        before: dict[bytes, models.Node],
        contents: dict[NodeId, bytes | None],
    ) -> list[bytes]:
        """Store manifests, states and the blobs' owners; return blobs that were replaced."""
        pairs = [(m, contents[n]) for n, m in change.manifests.items()]
        replaced = [
            row.blob
            for m, blob in pairs
            if (row := before.get(m.body.node)) is not None and row.blob and row.blob != blob
        ]
        nodes.insert_all(db, who.user_id, [p for p in pairs if p[0].body.node not in before])
        nodes.replace_all(db, [p for p in pairs if p[0].body.node in before])
        for state in change.states.values():
            nodes.put_state(db, state)
        blob_rows.assign(db, {blob: m.body.node for m, blob in pairs if blob is not None})
        return blob_rows.drop(db, replaced)

    def _check_no_cycle(self, db: Db, change: _Change, before: dict[bytes, models.Node]) -> None:
        """Refuse to move a folder into itself, which would cut it off from every root."""
        for node, manifest in change.manifests.items():
            row = before.get(node)
            if row is None:
                _check_hangs_on_something(change, node, before)
                continue
            if row.kind != Kind.FOLDER:
                continue
            above = nodes.ancestors(db, manifest.body.node, MAX_PATH_PARTS + 1)
            if node in above or len(above) > MAX_PATH_PARTS:
                raise NotAllowedError("A folder cannot be moved into itself.")


@dataclass
class _Change:
    """A commit whose signatures, shapes and small blobs were checked."""

    states: dict[NodeId, VerifiedState] = field(default_factory=dict)
    manifests: dict[NodeId, VerifiedManifest] = field(default_factory=dict)
    removals: list[Removal] = field(default_factory=list)
    blobs: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict)
    """(salt, bytes) by root."""

    @classmethod
    def verified(cls, who: Principal, ask: Commit) -> _Change:
        if max(len(ask.manifests) + len(ask.removals), len(ask.blobs)) > MAX_COMMIT_NODES:
            raise RemoteProtocolError("That commit changes too much at once.")
        change = cls(removals=ask.removals)
        for signed in ask.states:
            folder = unpack(signed.payload, FolderState).folder
            change.states[folder] = verify_state(signed, folder, who.user, who.ed25519)
        key = Verifier(who.ed25519)
        for signed in ask.manifests:
            manifest = verify_author(signed, who.user, key)
            change.manifests[manifest.body.node] = manifest
        for blob in ask.blobs:
            if len(blob.data) > MAX_INLINE_BLOB:
                raise RemoteProtocolError("A blob of that size must be uploaded on its own.")
            change.blobs[blob_root(blob.salt, blob.data)] = blob.salt, blob.data
        _check_tokens(removal.token for removal in ask.removals)
        folders = set(change.states)
        if (
            len(folders) != len(ask.states)
            or len(change.manifests) != len(ask.manifests)
            or len({_place(m) for m in change.manifests.values()}) != len(change.manifests)
            or not {m.body.parent for m in change.manifests.values()} <= folders
            or not {removal.folder for removal in ask.removals} <= folders
        ):
            raise RemoteProtocolError("The parts of that commit do not belong together.")
        return change

    def is_stale(self, current: dict[bytes, models.FolderState]) -> bool:
        """Tell whether a folder is no longer as its new state says that it was."""
        for folder, state in self.states.items():
            row = current.get(folder)
            was = (row.version, row.hash) if row else (0, NO_HASH)
            if (state.body.version - 1, state.body.previous) != was:
                return True
        return False

    def tokens_of(self, folder: NodeId) -> list[Token]:
        """Return the tokens of a folder that this change touches."""
        touched = [m.body.token for m in self.manifests.values() if m.body.parent == folder]
        return touched + [r.token for r in self.removals if r.folder == folder]

    def makes_folder(self, folder: NodeId) -> bool:
        """Tell whether a folder comes into being by this very change."""
        manifest = self.manifests.get(folder)
        return (
            manifest is not None
            and manifest.body.version == 1
            and manifest.body.kind is Kind.FOLDER
        )


def _check_tokens(tokens: Iterable[Token]) -> None:
    if any(len(token) != len(NO_TOKEN) for token in tokens):
        raise RemoteProtocolError("A name's token has 32 bytes.")


def _own_folder(node: models.Node | None, who: Principal) -> None:
    if node is None or node.owner_id != who.user_id:
        raise NotFoundError("There is no such folder.")
    if node.kind != Kind.FOLDER:
        raise RemoteProtocolError("That is a file, not a folder.")


def _check_versions(who: Principal, change: _Change, before: dict[bytes, models.Node]) -> None:
    """Check that each manifest follows the one before it and changes only what may change."""
    for node, manifest in change.manifests.items():
        body, row = manifest.body, before.get(node)
        if row is None:
            fits = body.version == 1 and body.previous == NO_HASH
            fits &= body.kind is Kind.FILE or node in change.states
        else:
            if row.owner_id != who.user_id:
                raise NotFoundError("There is no such file or folder.")
            if (body.version - 1, body.previous) != (row.version, row.manifest_hash):
                raise ConflictError("It was changed by somebody else meanwhile.")
            fits = body.kind == row.kind and row.parent_id is not None
        if not fits:
            raise RemoteProtocolError("A manifest does not follow the version before it.")


def _check_content(
    who: Principal,
    manifest: VerifiedManifest,
    row: models.Blob | None,
    before: models.Node | None,
) -> None:
    content: Content | None = manifest.body.content
    if content is None:
        return
    if row is None or row.owner_id != who.user_id:
        raise NotFoundError("The content of a file was never uploaded.")
    if (row.size, row.salt) != (content.sealed_size, content.salt):
        raise RemoteProtocolError("A manifest does not describe its content.")
    if row.node_id is None:
        fits = content.version == manifest.body.version
    else:
        kept = before is not None and before.blob == content.root
        fits = kept and row.node_id == manifest.body.node
    if not fits:
        raise RemoteProtocolError("A manifest names content that belongs to another version.")


def _changed_trees(change: _Change, old: dict[NodeId, PrefixTree]) -> dict[NodeId, PrefixTree]:
    """Apply the change to the trees; refuse it unless they get the roots that were signed."""
    new = {folder: old.get(folder, PrefixTree()) for folder in change.states}
    for removal in change.removals:
        try:
            new[removal.folder] = new[removal.folder].remove(removal.token)
        except KeyError:
            raise ConflictError("What was to be removed is not there any more.") from None
    for manifest in change.manifests.values():
        body = manifest.body
        entry = Entry(body.token, body.node, manifest.hash)
        new[body.parent] = new[body.parent].put(entry)
    for folder, state in change.states.items():
        if new[folder].root != state.body.root:
            raise RemoteProtocolError("A folder's new state does not follow from the change.")
    return new


def _displaced(
    change: _Change,
    old: dict[NodeId, PrefixTree],
    before: dict[bytes, models.Node],
    new: dict[NodeId, PrefixTree],
) -> list[bytes]:
    """Return the nodes that lose their place; check that what moves left its old one."""
    for node in change.manifests:
        row = before.get(node)
        if row is None or row.parent_id is None or row.token is None:
            continue
        tree = new.get(NodeId(row.parent_id))
        left = tree.get(Token(row.token)) if tree is not None else None
        elsewhere = (row.parent_id, row.token) != _place(change.manifests[node])
        if tree is None or (elsewhere and left is not None and left.node == node):
            raise RemoteProtocolError("Something is moved without leaving its old folder.")
    gone = []
    for folder, tree in old.items():
        for token in change.tokens_of(folder):
            entry = tree.get(token)
            if entry is not None and entry.node not in change.manifests:
                gone.append(entry.node)
    return list(dict.fromkeys(gone))


def _check_hangs_on_something(
    change: _Change, node: NodeId, before: dict[bytes, models.Node]
) -> None:
    """Refuse new folders that lie only in one another, where no path leads to."""
    seen = set()
    while node in change.manifests and node not in before:
        if node in seen:
            raise NotAllowedError("A folder cannot lie in itself.")
        seen.add(node)
        node = change.manifests[node].body.parent


def _place(manifest: VerifiedManifest) -> tuple[bytes, bytes]:
    return manifest.body.parent, manifest.body.token
