"""Users' keys on the server: the first keys, with the tree under them, and rotated keys."""

from __future__ import annotations

from sqlalchemy.orm import Session as Db

from fsd.principal import Principal
from fsd.services.login.attempts import RefusalReason, RefusedAttempt
from fsd.store import models
from fsd.store.repos import nodes, users
from fsproto import crypto, labels
from fsproto.errors import ConflictError, FsError, RemoteProtocolError, SignatureError
from fsproto.keylog.entries import verify_rotation
from fsproto.keys.grants import RootGrant
from fsproto.keys.identity import VerifiedBundle, verify_bundle
from fsproto.messages.account import Enroll, TreeRoot
from fsproto.messages.keylog import Rotate
from fsproto.proofs.prefix_tree import PrefixTree
from fsproto.sealed.folder import verify_state
from fsproto.sealed.manifest import NodeKind, verify_author
from fsproto.signed import open_signed, payload_hash
from fsproto.types import NO_NODE


def signed_by(key: bytes, signature: bytes, label: bytes, channel_id: bytes, user: str) -> bool:
    """Return whether a key (Ed25519, 32 bytes) has signed a login over exactly this channel."""
    try:
        crypto.verify(key, signature, label, channel_id, user.encode())
    except (crypto.CryptoError, ValueError):  # ValueError: a name that is no UTF-8
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


def replace_keys(db: Db, who: Principal, ask: Rotate, now_ms: int) -> VerifiedBundle:
    """Replace a user's keys, and the root grant sealed to them; return the new keys.

    `ConflictError` if the old keys no longer exist; `SignatureError` or `RemoteProtocolError` if
    the new keys are not a valid rotation of the old keys.
    """
    new = verify_bundle(ask.bundle, who.user)
    grant = open_signed(ask.root, RootGrant, labels.SIGN_ROOT_GRANT, new.body.ed25519)
    users.hold(db, who.user_id)
    before, tree = users.bundle(db, who.user_id), users.tree(db, who.user_id)
    if before is None or tree is None or before.ed25519 != who.ed25519:
        raise ConflictError("Your keys were replaced or reset meanwhile.")
    was = payload_hash(labels.HASH_BUNDLE, before.payload)
    try:
        verify_rotation(who.ed25519, ask.signature, was, new.hash)
    except crypto.CryptoError:
        raise SignatureError("The old key has not signed the new ones.") from None
    follows = new.body.version == before.version + 1
    if not follows or (grant.user, grant.node) != (who.user, tree.root_id):
        raise RemoteProtocolError("The new keys do not follow the old ones.")
    register(db, who.user_id, new, now_ms)
    tree.payload, tree.signature = ask.root.payload, ask.root.signature
    return new


def plant(db: Db, user: models.User, tree: TreeRoot, key: bytes) -> None:
    """Store a user's empty tree; `SecurityError` if its parts are inconsistent."""
    grant = open_signed(tree.grant, RootGrant, labels.SIGN_ROOT_GRANT, key)
    manifest = verify_author(tree.manifest, user.name, key)
    state = verify_state(tree.state, manifest.body.node, user.name, key)
    body = manifest.body
    fits = (
        grant.node == body.node,
        grant.user == user.name,
        body.parent == NO_NODE,
        body.kind is NodeKind.FOLDER,
        body.version == state.body.version == 1,
        state.body.root == PrefixTree().root,
        nodes.get(db, body.node) is None,
    )
    if not all(fits):
        raise RefusedAttempt(RefusalReason.MALFORMED)
    nodes.insert_all(db, user.id, [manifest])
    nodes.put_states(db, [state])
    payload, signature = tree.grant.payload, tree.grant.signature
    db.add(models.Tree(user_id=user.id, root_id=body.node, payload=payload, signature=signature))
