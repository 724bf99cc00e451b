"""The tree that a person begins with: a root that holds nothing, granted to themselves."""

from __future__ import annotations

import os
import time

from fskit.clock import now_ms
from fsproto.keys.grants import grant_root
from fsproto.keys.identity import Identity
from fsproto.keys.tree import new_node
from fsproto.messages.account import TreeRoot
from fsproto.proofs.lineage import NO_LINEAGE
from fsproto.sealed import folder as folders
from fsproto.sealed import manifest as manifests
from fsproto.sealed.folder import FolderState, sign_state
from fsproto.sealed.manifest import Manifest, Metadata, Mode, NodeKind, seal_metadata, sign_manifest
from fsproto.types import NO_HASH, NO_NODE, NO_TOKEN


def empty_tree(identity: Identity) -> TreeRoot:
    """Make a root folder that holds nothing, for a person's first keys."""
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
