"""Nodes in the gateway's cache: how much memory they take."""

from __future__ import annotations

import gc
import os
import tracemalloc

import pytest

from fsclient.gateway.nodes import CachedNode, GatewayNode, memory_of
from fsclient.gateway.paths import GatewayPath
from fsclient.tree.nodes import TreeNode
from fsproto import crypto
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.names import RemotePath
from fsproto.sealed.manifest import (
    Content,
    Manifest,
    Metadata,
    Mode,
    NodeKind,
    VerifiedManifest,
    open_metadata,
    pinned_manifest,
    seal_metadata,
    sign_manifest,
)
from fsproto.sealed.stream import sealed_size
from fsproto.signed import Signed
from fsproto.types import NO_HASH, FileKey, Hash, Root, Salt

MANY = 300
KEY = crypto.SigningKey(bytes(32))
FOLDER = new_node(os.urandom)


def top() -> GatewayNode:
    """Return the top of a tree; it has no entry in any folder."""
    manifest = VerifiedManifest(body_of("", FOLDER, NodeKind.FOLDER), NO_HASH, Signed(b"", b""))
    found = TreeNode(RemotePath(None, ()), FOLDER, manifest, Metadata("", 0, 1, Mode.REGULAR, None))
    return GatewayNode(GatewayPath(()), found)


def folder_in(above: GatewayNode, name: str) -> GatewayNode:
    """Return a folder at the top of the tree."""
    made = sign_manifest(KEY, body_of(name, new_node(os.urandom), NodeKind.FOLDER))
    return opened(made.signed, made.hash, above.place.parts)


def body_of(name: str, node: KeyedNode, kind: NodeKind) -> Manifest:
    """Return the manifest of a file or folder in `FOLDER`."""
    is_file = kind is NodeKind.FILE
    key = FileKey(os.urandom(32)) if is_file else None
    metadata = Metadata(name, 100 * is_file, 1, Mode.REGULAR, key)
    content = Content(
        1, Salt(os.urandom(32)), Root(os.urandom(32)), sealed_size(100), os.urandom(32)
    )
    return Manifest(
        format=1,
        node=node.node,
        parent=FOLDER.node,
        kind=kind,
        version=1,
        lineage=NO_HASH,
        token=FOLDER.token(name),
        link=FOLDER.seal_link(node, os.urandom),
        link_generation=1,
        generation=1,
        names_since=1,
        former=b"",
        key_commitment=node.key_commitment,
        former_commitment=node.former_commitment,
        metadata=seal_metadata(node.metadata_key, node.node, 1, 1, metadata, random=os.urandom),
        content=content if is_file else None,
        author="alice",
        author_key=KEY.public,
        time_ms=1,
        log_head=bytes(40),
    )


def signed(name: str) -> tuple[Signed, Hash]:
    """Return what the server has of a file."""
    made = sign_manifest(KEY, body_of(name, new_node(os.urandom), NodeKind.FILE))
    return made.signed, made.hash


def opened(signed: Signed, hash_: Hash, above: tuple[str, ...] = ("folder",)) -> GatewayNode:
    """Return a node as a listing gives it; `above` is the path of its folder."""
    copy = Signed(bytes(bytearray(signed.payload)), bytes(bytearray(signed.signature)))
    manifest: VerifiedManifest = pinned_manifest(copy, hash_)
    keyed: KeyedNode = FOLDER.open_link(manifest.body)
    metadata = open_metadata(keyed.metadata_key, manifest.body)
    path = RemotePath(None, (*above, metadata.name))
    return GatewayNode(GatewayPath(path.parts), TreeNode(path, keyed, manifest, metadata))


@pytest.mark.parametrize("length", [1, 60, 250])
def test_the_size_of_a_node_is_what_it_takes(length: int) -> None:
    there = [signed(f"{number:03}" + "n" * (length - 3)) for number in range(MANY)]
    opened(*there[0])
    gc.collect()
    tracemalloc.start()
    try:
        nodes = [CachedNode.of(opened(*one)) for one in there]
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.6 * sum(map(memory_of, nodes)) < taken < 1.1 * sum(map(memory_of, nodes))


def test_the_cache_gives_back_the_whole_node() -> None:
    there = signed("name")
    cached = CachedNode.of(opened(*there))
    assert isinstance(cached, CachedNode)
    assert cached.opened() == opened(*there)


def test_a_virtual_folder_is_kept_as_it_is() -> None:
    shared = GatewayNode(GatewayPath(("@shared",)), None)
    assert CachedNode.of(shared) == shared
    assert memory_of(shared) < memory_of(CachedNode.of(opened(*signed("name"))))
