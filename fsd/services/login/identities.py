"""Users' keys on the server: the first keys, with the tree under them, and rotated keys."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session as Db

from fsd.principal import Principal
from fsd.services.login.attempts import RefusalReason, RefusedAttempt
from fsd.store import models
from fsd.store.repos import lineages, nodes, users
from fsd.store.repos.nodes import NO_CHANGE
from fsproto import crypto, labels
from fsproto.errors import ConflictError, FsError, RemoteProtocolError, SignatureError
from fsproto.keylog.entries import verify_rotation
from fsproto.keys.grants import RootGrant
from fsproto.keys.identity import VerifiedBundle, verify_bundle
from fsproto.messages.account import Enroll, TreeRoot
from fsproto.messages.history import Lineal
from fsproto.messages.keylog import Rotate
from fsproto.packing import unpack
from fsproto.proofs.prefix_tree import PrefixTree
from fsproto.sealed.folder import FolderState, VerifiedState, verify_state
from fsproto.sealed.manifest import NodeKind, VerifiedManifest, verify_author
from fsproto.signed import open_signed, payload_hash
from fsproto.types import NO_NODE, NO_TOKEN


def signed_by(key: bytes, signature: bytes, label: bytes, channel_id: bytes, user: str) -> bool:
    """Return whether a key (Ed25519, 32 bytes) has signed a login over exactly this channel."""
    try:
        crypto.verify(key, signature, label, channel_id, user.encode())
    except (crypto.CryptoError, ValueError):  # ValueError: the name is not UTF-8
        return False
    return True


def checked_bundle(ask: Enroll) -> VerifiedBundle:
    """Return the first keys of a user who enrols; `RefusedAttempt` if they are invalid."""
    try:
        bundle = verify_bundle(ask.bundle, ask.user)
    except FsError:
        raise RefusedAttempt(RefusalReason.MALFORMED) from None
    if bundle.body.version != 1:
        raise RefusedAttempt(RefusalReason.MALFORMED)
    return bundle


def register(db: Db, user_id: int, bundle: VerifiedBundle, now_ms: int) -> None:
    """Store new current keys of a user."""
    db.add(
        models.Bundle(
            user_id=user_id,
            version=bundle.body.version,
            payload=bundle.signed.payload,
            signature=bundle.signed.signature,
            ed25519=bundle.body.ed25519,
            created_ms=now_ms,
        )
    )


@dataclass(frozen=True)
class Rotation:
    """New keys of a user, with the root under its next key; the signatures were verified."""

    ask: Rotate
    bundle: VerifiedBundle
    grant: RootGrant
    manifest: VerifiedManifest
    state: VerifiedState

    @property
    def log_heads(self) -> set[bytes]:
        """The heads of the key log that the signatures carry."""
        return {self.manifest.body.log_head, self.state.body.log_head}


def checked_rotation(who: Principal, ask: Rotate) -> Rotation:
    """Check what needs no database; `SignatureError` or `RemoteProtocolError` if it is invalid."""
    bundle = verify_bundle(ask.bundle, who.user)
    key = bundle.body.ed25519
    grant = open_signed(ask.tree.grant, RootGrant, labels.SIGN_ROOT_GRANT, key)
    manifest = verify_author(ask.tree.manifest, who.user, key)
    state = verify_state(ask.tree.state, grant.node, who.user, key)
    generation = bundle.body.version
    body = manifest.body
    fits = (
        grant.user == who.user
        and (body.node, body.parent, body.kind) == (grant.node, NO_NODE, NodeKind.FOLDER)
        and (body.token, body.link, body.content) == (NO_TOKEN, b"", None)
        and grant.generation == body.generation == state.body.generation == generation
    )
    if not fits:
        raise RemoteProtocolError("The new keys lack the root of a tree.")
    return Rotation(ask, bundle, grant, manifest, state)


def replace_keys(db: Db, who: Principal, rotation: Rotation, now_ms: int) -> None:
    """Replace a user's keys and the key of the root: grant, manifest and state; quota is locked.

    `ConflictError` if the old keys no longer exist, or if the root has changed; `SignatureError`
    or `RemoteProtocolError` if the new keys are not a valid rotation of the old keys.
    """
    new, root = rotation.bundle, rotation.grant.node
    users.hold(db, who.user_id)
    before, tree = users.bundle(db, who.user_id), users.tree(db, who.user_id)
    if before is None or tree is None or before.ed25519 != who.ed25519:
        raise ConflictError("Your keys were replaced or reset in the meantime.")
    was = payload_hash(labels.HASH_BUNDLE, before.payload)
    try:
        verify_rotation(who.ed25519, rotation.ask.signature, was, new.hash)
    except crypto.CryptoError:
        raise SignatureError("The old key has not signed the new ones.") from None
    if new.body.version != before.version + 1 or root != tree.root_id:
        raise RemoteProtocolError("The new keys do not follow the old ones.")
    _renew_root(db, rotation)
    register(db, who.user_id, new, now_ms)
    grant = rotation.ask.tree.grant
    tree.payload, tree.signature = grant.payload, grant.signature


def _renew_root(db: Db, rotation: Rotation) -> None:
    """Store the root under its next key; `ConflictError` if it is not what the client saw."""
    manifest, state = rotation.manifest, rotation.state
    root = rotation.grant.node
    row, was = nodes.get(db, root), nodes.states_for_update(db, [root])[root]
    now = unpack(was.payload, FolderState)
    follows = (
        row is not None
        and (manifest.body.version - 1, manifest.body.lineage) == (row.version, row.next_lineage)
        and (state.body.version - 1, state.body.lineage) == (was.version, was.next_lineage)
    )
    if row is None or not follows:
        raise ConflictError("The top of your tree was changed in the meantime; try again.")
    if state.body.root != now.root:
        raise RemoteProtocolError("The new root has other entries than your tree.")
    lineages.keep(db, Lineal.STATE, [was[:3]])
    lineages.keep(db, Lineal.MANIFEST, [(row.id, row.version, row.manifest_hash)])
    nodes.replace_all(db, [manifest], forget=[], forget_versions=[])
    nodes.put_states(db, [state], row.owner_id, NO_CHANGE)


def plant(db: Db, user: models.User, tree: TreeRoot, key: bytes) -> None:
    """Store a user's empty tree; `SecurityError` if its parts are inconsistent."""
    grant = open_signed(tree.grant, RootGrant, labels.SIGN_ROOT_GRANT, key)
    manifest = verify_author(tree.manifest, user.name, key)
    state = verify_state(tree.state, manifest.body.node, user.name, key)
    body = manifest.body
    fits = (
        grant.node == body.node,
        grant.user == user.name,
        grant.generation == body.generation == state.body.generation == 1,
        body.parent == NO_NODE,
        body.kind is NodeKind.FOLDER,
        body.version == state.body.version == 1,
        state.body.root == PrefixTree().root,
        nodes.get(db, body.node) is None,
    )
    if not all(fits):
        raise RefusedAttempt(RefusalReason.MALFORMED)
    nodes.insert_all(db, user.id, [manifest])
    nodes.put_states(db, [state], user.id, NO_CHANGE)
    payload, signature = tree.grant.payload, tree.grant.signature
    db.add(models.Tree(user_id=user.id, root_id=body.node, payload=payload, signature=signature))
