"""Checks of a commit that need no database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fsd.principal import Principal
from fsd.services.files.member_lists import NextList, verified_lists
from fsd.services.files.tree_cache import EMPTY, FolderTree
from fsd.store.repos.blobs import HeldBlob
from fsd.store.repos.nodes import StoredNode, StoredState
from fsd.store.repos.quotas import Held
from fsproto.errors import ConflictError, NotAllowedError, NotFoundError, RemoteProtocolError
from fsproto.keys.tree import next_commitment
from fsproto.limits import MAX_COMMIT_NODES, MAX_ENTRIES, MAX_GENERATION_BY_WRITERS, MAX_INLINE_BLOB
from fsproto.messages.files import Commit, InlineBlob, Removal
from fsproto.messages.keylog import RotatePart
from fsproto.packing import unpack
from fsproto.proofs.lineage import NO_LINEAGE
from fsproto.proofs.prefix_tree import FolderEntry
from fsproto.sealed.folder import FolderState, VerifiedState, verify_state
from fsproto.sealed.integrity import blob_root
from fsproto.sealed.manifest import (
    Content,
    Manifest,
    NodeKind,
    VerifiedManifest,
    verify_author,
)
from fsproto.signed import Verifier
from fsproto.types import NO_TOKEN, NodeId, Token


@dataclass
class VerifiedCommit:
    """A commit whose signatures, shapes and small blobs were checked."""

    states: dict[NodeId, VerifiedState] = field(default_factory=dict)
    manifests: dict[NodeId, VerifiedManifest] = field(default_factory=dict)
    removals: list[Removal] = field(default_factory=list)
    blobs: dict[bytes, InlineBlob] = field(default_factory=dict)
    """By root."""
    lists: dict[NodeId, NextList] = field(default_factory=dict)
    """The next member lists, by node."""

    @classmethod
    def verified(cls, who: Principal, ask: Commit) -> VerifiedCommit:
        """Check a commit by itself; `SignatureError` or `RemoteProtocolError` if it is bad."""
        if max(len(ask.manifests) + len(ask.removals), len(ask.blobs)) > MAX_COMMIT_NODES:
            raise RemoteProtocolError("The commit changes too much at once.")
        change = cls()
        change._take(who, ask)
        for blob in ask.blobs:
            if len(blob.data) > MAX_INLINE_BLOB:
                raise RemoteProtocolError("A blob of that size must be uploaded separately.")
            change.blobs[blob_root(blob.salt, blob.data)] = blob
        change._check_whole()
        return change

    @classmethod
    def renewal(cls, who: Principal, parts: Iterable[RotatePart]) -> VerifiedCommit:
        """Check what a rotation renews, as `verified` does; `who` has the new key.

        One part is in memory at a time as it was sent, and what was verified of the others.
        """
        change = cls()
        for part in parts:
            change._take(who, part)
        change._check_whole()
        return change

    def _take(self, who: Principal, ask: Commit | RotatePart) -> None:
        """Add the signed values of a message; refuse a second value of one kind and node."""
        lists = verified_lists(who, ask.members)
        states, manifests = dict[NodeId, VerifiedState](), dict[NodeId, VerifiedManifest]()
        for signed in ask.states:
            folder = unpack(signed.payload, FolderState).folder
            states[folder] = verify_state(signed, folder, who.user, who.ed25519)
        key = Verifier(who.ed25519)
        for signed in ask.manifests:
            manifest = verify_author(signed, who.user, key)
            manifests[manifest.body.node] = manifest
        if (
            len(states) != len(ask.states)
            or len(manifests) != len(ask.manifests)
            or states.keys() & self.states.keys()
            or manifests.keys() & self.manifests.keys()
            or lists.keys() & self.lists.keys()
        ):
            raise _parts_do_not_fit()
        check_tokens(removal.token for removal in ask.removals)
        self.removals += ask.removals
        self.states |= states
        self.manifests |= manifests
        self.lists |= lists

    def _check_whole(self) -> None:
        """Refuse a change whose manifests or removals are in no folder of it."""
        folders, placed = set(self.states), {place(m) for m in self.manifests.values()}
        if (
            len(placed) != len(self.manifests)
            or not {m.body.parent for m in self.manifests.values()} <= folders
            or not {removal.folder for removal in self.removals} <= folders
        ):
            raise _parts_do_not_fit()

    def is_stale(self, current: dict[bytes, StoredState]) -> bool:
        """Return whether a folder has changed since the state that its new state follows."""
        for folder, state in self.states.items():
            row = current.get(folder)
            was = (row.version, row.next_lineage) if row else (0, NO_LINEAGE)
            if (state.body.version - 1, state.body.lineage) != was:
                return True
        return False

    @property
    def only_removes(self) -> bool:
        """Return whether nothing can move out of what this change removes."""
        return bool(self.removals) and not self.manifests

    def tokens(self) -> dict[NodeId, list[Token]]:
        """Return the tokens that this change touches, for each of its folders."""
        found: dict[NodeId, list[Token]] = {folder: [] for folder in self.states}
        for manifest in self.manifests.values():
            found[manifest.body.parent].append(manifest.body.token)
        for removal in self.removals:
            found[removal.folder].append(removal.token)
        return found

    def tokens_to_check(self, before: Mapping[bytes, StoredNode]) -> dict[NodeId, list[Token]]:
        """Return the tokens that the checks of this change need, for each of its folders."""
        found = self.tokens()
        for row in before.values():
            if row.parent_id in found and row.token is not None:
                found[NodeId(row.parent_id)].append(Token(row.token))
        return found

    def makes_folder(self, folder: NodeId) -> bool:
        """Return whether this change creates the folder."""
        manifest = self.manifests.get(folder)
        return (
            manifest is not None
            and manifest.body.version == 1
            and manifest.body.kind is NodeKind.FOLDER
        )

    def standing_folders(self) -> list[NodeId]:
        """Return the folders of the change that must already exist."""
        return [folder for folder in self.states if not self.makes_folder(folder)]

    def nodes_before(self) -> list[NodeId]:
        """Return the nodes that must already exist; a manifest of version 1 is a new node."""
        old = [node for node, m in self.manifests.items() if m.body.version > 1]
        return old + self.standing_folders() + list(self.lists)

    def changed(self, before: Mapping[bytes, StoredNode]) -> list[NodeId]:
        """Return the existing nodes that get another manifest."""
        return [node for node in self.manifests if node in before]

    def nodes_to_hold(self) -> set[NodeId]:
        """Return the nodes whose list may change, or whose key: one must not change alone."""
        keys = {
            n for n, m in self.manifests.items() if m.body.version > 1 and m.body.generation > 1
        }
        return keys | set(self.lists)

    def log_heads(self) -> set[bytes]:
        """Return the heads of the key log that the signatures carry."""
        heads = {state.body.log_head for state in self.states.values()}
        heads |= {manifest.body.log_head for manifest in self.manifests.values()}
        return heads | {new.members.body.log_head for new in self.lists.values()}

    def salts(self) -> set[bytes]:
        """Return the salts of the contents that the files get."""
        contents = (manifest.body.content for manifest in self.manifests.values())
        return {bytes(content.salt) for content in contents if content is not None}

    def new_files(self, before: Mapping[bytes, StoredNode]) -> Held:
        """Return the sealed size and number of the files that the change creates."""
        new = [m.body.content for node, m in self.manifests.items() if node not in before]
        sizes = [content.sealed_size for content in new if content is not None]
        return Held(sum(sizes), len(sizes))

    def generations(self, before: Mapping[bytes, StoredNode]) -> dict[NodeId, int]:
        """Return the key generation of each node of the change after the commit."""
        old = {NodeId(node): row.generation for node, row in before.items()}
        return old | {node: m.body.generation for node, m in self.manifests.items()}


def _parts_do_not_fit() -> RemoteProtocolError:
    return RemoteProtocolError("The parts of that commit do not belong together.")


def check_tokens(tokens: Iterable[Token]) -> None:
    """Raise unless these have the form of tokens."""
    if any(len(token) != len(NO_TOKEN) for token in tokens):
        raise RemoteProtocolError("A name's token has 32 bytes.")


def check_versions(owner_id: int, change: VerifiedCommit, before: dict[bytes, StoredNode]) -> None:
    """Check that each manifest follows the one before it and changes only what may change."""
    for node, manifest in change.manifests.items():
        body, row = manifest.body, before.get(node)
        if row is None:
            fits = body.version == 1 and body.lineage == NO_LINEAGE
            fits &= body.kind is NodeKind.FILE or node in change.states
        else:
            if row.owner_id != owner_id:
                raise NotFoundError("There is no such file or folder.")
            if (body.version - 1, body.lineage) != (row.version, row.next_lineage):
                raise ConflictError("It was changed by another person in the meantime.")
            fits = body.kind == row.kind and not _is_root(row)
        if not fits:
            raise RemoteProtocolError("A manifest does not follow the version before it.")


def _is_root(row: StoredNode) -> bool:
    return row.parent_id is None and row.removed_from is None


def check_generations(change: VerifiedCommit, before: dict[bytes, StoredNode]) -> None:
    """Refuse writes under an older key than the folder's current one."""
    now = change.generations(before)
    for folder, state in change.states.items():
        if state.body.generation != now[folder]:
            raise _under_an_old_key()
    for node, manifest in change.manifests.items():
        body, row = manifest.body, before.get(node)
        if body.link_generation != now[body.parent]:
            raise _under_an_old_key()
        was = row.generation if row is not None else 1
        renewed = body.generation != was
        if renewed and (row is None or body.generation != was + 1):
            raise RemoteProtocolError("A node takes one new key at a time.")
        if renewed and body.kind is NodeKind.FOLDER and node not in change.states:
            raise RemoteProtocolError("A folder that takes a new key needs a new state.")


def _under_an_old_key() -> ConflictError:
    return ConflictError(
        "The folder has taken a new key, because it is shared with fewer people now.",
        hint="Give the same command again.",
    )


def check_renewals(
    who: Principal,
    owner_id: int,
    change: VerifiedCommit,
    before: Mapping[bytes, StoredNode],
    was: Mapping[NodeId, Manifest],
) -> None:
    """Refuse a new key that a member gives to a node without need.

    A member gives a node a new key where it is due, and where it moves to another folder. Each key
    is one of 1,024 in the node's life: without this rule, a member could use them up, and the owner
    could no longer remove that member. `was` has the current manifests of changed nodes.
    """
    if who.user_id == owner_id:
        return
    now = change.generations(before)
    for node, manifest in change.manifests.items():
        body, row = manifest.body, before.get(node)
        if row is None or body.generation == row.generation:
            continue
        is_due = was[node].link_generation < now[body.parent]
        moves = body.parent != (row.parent_id or row.removed_from)
        if not (is_due or moves):
            raise NotAllowedError("Only the owner can renew a key before it is due.")
        if body.generation > MAX_GENERATION_BY_WRITERS:
            raise NotAllowedError(
                f"Its members have given a file or folder {MAX_GENERATION_BY_WRITERS} keys.",
                hint="Its owner can give it another one: with the next change that the owner "
                "makes to it.",
            )


def check_key_commitments(
    who: Principal, owner_id: int, change: VerifiedCommit, was: Mapping[NodeId, Manifest]
) -> None:
    """Refuse other keys of a node than those that its current manifest commits to.

    Otherwise a member could give a folder a new key with false earlier ones, and so take what is in
    it from everybody. The owner may commit to other keys, to repair such a node.
    """
    if who.user_id == owner_id:
        return
    for node, old in was.items():
        new = change.manifests[node].body
        keys = old.key_commitment, old.former_commitment
        if new.generation > old.generation:
            fits = new.former_commitment == next_commitment(old.former_commitment, keys[0])
        else:
            fits = (new.key_commitment, new.former_commitment) == keys
        if not fits:
            raise RemoteProtocolError("A manifest commits to other keys than the one before it.")


def check_content(
    who: Principal,
    manifest: VerifiedManifest,
    row: HeldBlob | None,
    before: StoredNode | None,
) -> None:
    """Check that a file's content exists, matches its manifest, and belongs to the file."""
    content: Content | None = manifest.body.content
    if content is None:
        return
    # The file has this content now, or had it before and returns to it.
    kept = before is not None and row is not None and row.node_id == before.id
    if row is None or (row.owner_id != who.user_id and not kept):
        raise NotFoundError("The content of a file was never uploaded.")
    if (row.size, row.salt) != (content.sealed_size, content.salt):
        raise RemoteProtocolError("A manifest does not describe its content.")
    fits = content.version == manifest.body.version if row.node_id is None else kept
    if not fits:
        raise RemoteProtocolError("A manifest names content that belongs to another version.")


def changed_trees(
    change: VerifiedCommit, old: Mapping[NodeId, FolderTree]
) -> dict[NodeId, FolderTree]:
    """Apply the change to the trees; refuse it unless their roots equal the signed roots."""
    trees = {folder: old.get(folder, EMPTY) for folder in change.states}
    changes: dict[NodeId, dict[Token, FolderEntry | None]] = {folder: {} for folder in trees}
    for folder, token in ((removal.folder, removal.token) for removal in change.removals):
        if token in changes[folder] or trees[folder].get(token) is None:
            raise ConflictError("The entry to remove no longer exists.")
        changes[folder][token] = None
    for manifest in change.manifests.values():
        body = manifest.body
        changes[body.parent][body.token] = FolderEntry(body.token, body.node, manifest.hash)
    new = {folder: tree.changed(changes[folder]) for folder, tree in trees.items()}
    if any(new[folder].root != state.body.root for folder, state in change.states.items()):
        raise RemoteProtocolError("A folder's new state does not follow from the change.")
    return new


def check_sizes(
    old: Mapping[NodeId, FolderTree], new: Mapping[NodeId, FolderTree], most: int = MAX_ENTRIES
) -> None:
    """Refuse a change after which a folder has more than `most` entries, and more than before."""
    for folder, tree in new.items():
        before = old.get(folder)
        if tree.size > max(most, before.size if before is not None else 0):
            raise NotAllowedError(f"A folder can have at most {most:,} entries.")


def find_displaced(
    change: VerifiedCommit,
    old: dict[NodeId, FolderTree],
    before: dict[bytes, StoredNode],
    new: dict[NodeId, FolderTree],
) -> dict[bytes, tuple[NodeId, Token]]:
    """Return the nodes that lose their place, and the place; check that moved nodes left theirs."""
    for node in change.manifests:
        row = before.get(node)
        if row is None or row.parent_id is None or row.token is None:
            continue
        tree = new.get(NodeId(row.parent_id))
        left = tree.get(Token(row.token)) if tree is not None else None
        elsewhere = (row.parent_id, row.token) != place(change.manifests[node])
        if tree is None or (elsewhere and left is not None and left.node == node):
            raise RemoteProtocolError("A node is moved without leaving its old folder.")
    gone: dict[bytes, tuple[NodeId, Token]] = {}
    tokens = change.tokens()
    for folder, tree in old.items():
        for token in tokens[folder]:
            entry = tree.get(token)
            if entry is not None and entry.node not in change.manifests:
                gone[entry.node] = folder, token
    return gone


def place(manifest: VerifiedManifest) -> tuple[bytes, bytes]:
    """Return the folder and the token of a manifest."""
    return manifest.body.parent, manifest.body.token
