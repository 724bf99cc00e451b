"""Repairing an entry that does not verify: the last version that opens becomes the newest again.

A writer can sign a version with keys or metadata that no client can open. The server keeps the last
manifest of each key of a folder, and the versions of files. The repair signs the next version with
the keys and metadata of an older one, under a new key. Random keys replace the unknown keys between
the two: content under the unknown keys is lost, and nothing else.
"""

from __future__ import annotations

import os

from fsclient.connection.parts import items_of
from fsclient.tree.commit import Committer
from fsclient.tree.contents import RefusedEntry
from fsclient.tree.draft import NextVersion
from fsclient.tree.nodes import TreeNode
from fsclient.tree.tree import Tree
from fsclient.trust.sightings import MANIFEST, Gap
from fsproto.errors import IntegrityError, NotFoundError, RemoteProtocolError, SignatureError
from fsproto.keys.tree import KeyedNode
from fsproto.limits import MAX_VERSIONS
from fsproto.messages.history import GetHistory, History
from fsproto.names import RemotePath
from fsproto.packing import unpack
from fsproto.proofs.lineage import LineagePoint
from fsproto.sealed.manifest import (
    Manifest,
    VerifiedManifest,
    manifest_hash,
    older_manifest,
    open_metadata,
)
from fsproto.signed import Signed
from fsproto.types import NodeKey


class Repair:
    """The repair of entries in one tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def run(self, refused: RefusedEntry, path: RemotePath) -> int:
        """Repair the entry under a name; return the version that is restored.

        `NotFoundError` if the server keeps no version that opens, `NotAllowedError` if only the
        owner can give the node a new key.
        """
        folder, token = refused.folder, refused.entry.token
        newest = self._tree.view(folder.keyed, [token]).found[token]
        older = self._ancestors(newest)
        for manifest in older:
            found = self._opened(folder, newest, manifest, older, path)
            if found is not None:
                break
        else:
            raise NotFoundError(
                f"The server keeps no version of '{path}' that opens.",
                hint=f"'fsclient rm -r {path.argument}' removes it.",
            )
        changes = Committer(self._tree)
        if found.is_folder:
            changes.renew(found)
        else:
            content = manifest.body.content
            what = NextVersion(found.keyed, newest, found.metadata, content, renew=True)
            changes.put_file(folder.keyed, what, None)
        changes.commit()
        return manifest.body.version

    def _ancestors(self, newest: VerifiedManifest) -> list[VerifiedManifest]:
        """Return the manifests that the server keeps from before the newest, the newest first."""
        connection = self._tree.context.connection
        asked = GetHistory(newest.body.node, newest.body.version)
        older = items_of(connection, asked, History, lambda part: part.manifests, MAX_VERSIONS)
        chain = [newest]
        for signed in older:
            newer = chain[-1]
            gap = Gap(newest.body.node, MANIFEST, _point(signed), newer.point)
            if gap.earlier.version >= gap.later.version:
                raise RemoteProtocolError("The server sent older versions out of their order.")
            reached = self._tree.context.questions.lineages([gap])[gap]
            chain.append(older_manifest(signed, newer, reached))
        return chain[1:]

    def _opened(
        self,
        folder: TreeNode,
        newest: VerifiedManifest,
        manifest: VerifiedManifest,
        others: list[VerifiedManifest],
        path: RemotePath,
    ) -> TreeNode | None:
        """Return the node as its newest version, with the keys and metadata of an older one."""
        try:
            self._tree.context.authors.check_older(manifest, newest)
            keyed = folder.keyed.open_link(manifest.body)
            metadata = open_metadata(keyed.metadata_key, manifest.body)
        except (IntegrityError, RemoteProtocolError, SignatureError):
            return None
        if metadata.name != path.name:
            return None
        now = _with_later_keys(folder.keyed, keyed, [newest, *others])
        self._tree.context.places.register(folder.keyed.node, now, newest.body.link_generation)
        return TreeNode(path, now, newest, metadata, folder)


def _point(signed: Signed) -> LineagePoint:
    body = unpack(signed.payload, Manifest)
    return LineagePoint(body.version, body.lineage, manifest_hash(signed))


def _with_later_keys(
    folder: KeyedNode, keyed: KeyedNode, manifests: list[VerifiedManifest]
) -> KeyedNode:
    """Return a node at the generation of the first manifest, with the keys that can be opened."""
    generation, former = manifests[0].body.generation, (keyed.key, *keyed.former)
    if generation == keyed.generation:
        return keyed
    for each in range(keyed.generation + 1, generation):
        former = (_key_of(folder, each, manifests), *former)
    key = _key_of(folder, generation, manifests)
    return KeyedNode(keyed.node, generation, key, former, keyed.names_since)


def _key_of(folder: KeyedNode, generation: int, manifests: list[VerifiedManifest]) -> NodeKey:
    """Return a node's key of a generation; a random one if no link to it opens."""
    for body in (one.body for one in manifests if one.body.generation == generation):
        try:
            return folder.open_key(body)
        except IntegrityError:
            continue
    return NodeKey(os.urandom(32))
