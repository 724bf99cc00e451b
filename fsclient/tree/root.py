"""The root of a user's own tree: creating it, verifying the server's answer, and its next key."""

from __future__ import annotations

import os
import time
from itertools import islice

from msgspec.structs import replace

from fsclient.tree.context import TreeContext
from fsclient.tree.nodes import TreeNode, seen_manifest, seen_state
from fsclient.trust.sightings import key_end
from fskit.clock import now_ms
from fsproto.errors import IntegrityError, RollbackError, SignatureError
from fsproto.keys.grants import grant_root, open_root_grant
from fsproto.keys.identity import Identity
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.messages.account import TreeRoot
from fsproto.names import RemotePath
from fsproto.packing import unpack
from fsproto.proofs.lineage import NO_LINEAGE
from fsproto.sealed import folder as folders
from fsproto.sealed import manifest as manifests
from fsproto.sealed.folder import FolderState, VerifiedState, sign_state
from fsproto.sealed.manifest import (
    Manifest,
    Metadata,
    Mode,
    NodeKind,
    VerifiedManifest,
    open_metadata,
    seal_metadata,
    sign_manifest,
    verify_author,
)
from fsproto.signed import Signed
from fsproto.types import NO_HASH, NO_NODE, NO_TOKEN, NodeId
from fsproto.values import Value

_ENDS_AT_ONCE = 10_000
"""Ended keys that are remembered in one transaction."""


def empty_tree(identity: Identity) -> TreeRoot:
    """Make an empty root folder, for a person's first keys."""
    root, now, key = new_node(os.urandom), now_ms(), identity.signing
    metadata = Metadata("", 0, time.time_ns(), Mode.REGULAR, file_key=None)
    manifest = Manifest(
        format=manifests.FORMAT,
        node=root.node,
        parent=NO_NODE,
        kind=NodeKind.FOLDER,
        version=1,
        lineage=NO_LINEAGE,
        token=NO_TOKEN,
        link=b"",
        link_generation=0,
        generation=root.generation,
        names_since=root.generation,
        former=b"",
        key_commitment=root.key_commitment,
        former_commitment=root.former_commitment,
        metadata=seal_metadata(
            root.metadata_key, root.node, 1, root.generation, metadata, random=os.urandom
        ),
        content=None,
        author=identity.user,
        author_key=key.public,
        time_ms=now,
        log_head=b"",
    )
    state = FolderState(
        format=folders.FORMAT,
        folder=root.node,
        version=1,
        lineage=NO_LINEAGE,
        root=NO_HASH,
        generation=root.generation,
        author=identity.user,
        author_key=key.public,
        time_ms=now,
        log_head=b"",
    )
    grant = grant_root(root, identity, now, os.urandom)
    return TreeRoot(grant, sign_manifest(key, manifest).signed, sign_state(key, state).signed)


class RenewedRoot(Value, frozen=True):
    """The root of the user's tree under its next key, as a rotation replaces it."""

    grant: Signed
    manifest: VerifiedManifest
    state: VerifiedState

    @property
    def sent(self) -> TreeRoot:
        """The parts as they are sent."""
        return TreeRoot(self.grant, self.manifest.signed, self.state.signed)


def renewed_root(
    root: TreeNode, keyed: KeyedNode, state: VerifiedState, identity: Identity, log_head: bytes
) -> RenewedRoot:
    """Return the root under its next key, granted to and signed by the user's next keys.

    `keyed` is the root with that key, and `state` is its newest state; the entries stay, so
    everything below is due.
    """
    now, key = now_ms(), identity.signing
    before, version = root.manifest, root.manifest.body.version + 1
    manifest = replace(
        before.body,
        version=version,
        lineage=before.point.next_lineage,
        generation=keyed.generation,
        former=keyed.seal_former(os.urandom),
        key_commitment=keyed.key_commitment,
        former_commitment=keyed.former_commitment,
        metadata=seal_metadata(
            keyed.metadata_key,
            keyed.node,
            version,
            keyed.generation,
            root.metadata,
            random=os.urandom,
        ),
        author_key=key.public,
        time_ms=now,
        log_head=log_head,
    )
    following = replace(
        state.body,
        version=state.body.version + 1,
        lineage=state.point.next_lineage,
        generation=keyed.generation,
        author=identity.user,
        author_key=key.public,
        time_ms=now,
        log_head=log_head,
    )
    grant = grant_root(keyed, identity, now, os.urandom)
    return RenewedRoot(grant, sign_manifest(key, manifest), sign_state(key, following))


def open_root(
    context: TreeContext, root: TreeRoot, *, expected: NodeId | None, mark: int
) -> TreeNode:
    """Verify and open the root of the user's own tree, as a login returns it.

    `expected` is the root of the enrolment, None while enrolling. `mark` is a mark of the seen
    versions from before the login was sent. Raises `SecurityError` unless the root is the user's
    newest.
    """
    identity = context.identity
    ended = map(key_end, context.people.ended)
    while some := list(islice(ended, _ENDS_AT_ONCE)):
        context.memory.remember(some)
    body = unpack(root.manifest.payload, Manifest)
    keyed = open_root_grant(root.grant, identity)
    if keyed.node != body.node or body.parent != NO_NODE or body.kind is not NodeKind.FOLDER:
        raise IntegrityError("The server sent the root of another tree in place of yours.")
    if not body.generation == keyed.generation == identity.bundle.body.version:
        raise IntegrityError("The root of your tree is not under the key of your newest keys.")
    if body.author_key != identity.signing.public:
        raise SignatureError("The root of your tree was not signed by your newest keys.")
    keyed = keyed.with_former(body)
    context.authors.register_top(keyed, identity.user, None)
    manifest = verify_author(root.manifest, identity.user, body.author_key)
    if expected is not None and keyed.node != expected:
        raise RollbackError(
            "THE SERVER SHOWED ANOTHER TREE than the one this profile has enrolled with."
        )
    state = context.authors.state(root.state, keyed)
    context.check_heads([body.log_head, state.body.log_head])
    context.authors.check_manifest(manifest)
    context.check_present([seen_manifest(manifest), seen_state(state)], mark)
    metadata = open_metadata(keyed.metadata_key, body)
    return TreeNode(RemotePath(None, ()), keyed, manifest, metadata)
