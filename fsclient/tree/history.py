"""The verified versions of a file: each is proved by the next one.

    folder state ── newest manifest ── the one before ── the one before ── …

The state of its folder names the newest manifest, and the lineage of each manifest commits to the
one before. So the server can withhold the versions before some version. It can neither change, swap
nor reorder versions, nor invent one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from fsclient.connection.parts import items_of
from fsclient.tree.nodes import TreeNode
from fsclient.tree.tree import Tree
from fsproto.errors import IntegrityError, NotFoundError, RemoteProtocolError, UsageError
from fsproto.limits import MAX_VERSIONS
from fsproto.messages.history import GetHistory, History
from fsproto.names import for_terminal
from fsproto.sealed.manifest import Mode, VerifiedManifest, older_manifest, open_metadata, renamed


@dataclass(frozen=True)
class Version:
    """One version of a file."""

    found: TreeNode
    """The file in this version, under its present name."""
    name: str
    """The name in this version."""
    placed: bool
    """Whether its author was a writer there, as far as lists show; False if it was in a folder that
    is not on the path to its present place."""
    changes: list[str]
    """The differences from the version before, in words; empty if the server has dropped that."""

    @property
    def number(self) -> int:
        """The number of the version."""
        return self.found.manifest.body.version


class FileHistory:
    """Requests the history of files, and verifies it."""

    def __init__(self, tree: Tree) -> None:
        """Take the tree that they are found in."""
        self._tree = tree
        self.refused: list[IntegrityError] = []
        """Versions that do not verify; a writer may have signed garbage."""

    def of(self, found: TreeNode) -> list[Version]:
        """Return the versions of a file that the server still has, the newest first."""
        if found.is_folder:
            raise UsageError(f"'{found.path}' is a folder; only files have versions.")
        chain = self._tree.context.retry.run(partial(self._chain, found.manifest))
        met = [self._met(found, manifest) for manifest in chain]
        opened = [one for one in met if one is not None]
        versions = []
        for at, (then, name, placed) in enumerate(opened):
            changes = ["new"] if then.manifest.body.version == 1 else []
            if at + 1 < len(opened):
                earlier = opened[at + 1 :]
                changes = _changes(then, name, *earlier[0][:2], [one for one, *_ in earlier])
            versions.append(Version(then, name, placed, changes))
        return versions

    def at(self, found: TreeNode, number: int) -> TreeNode:
        """Return a file as it was in a version; `NotFoundError` if the server has dropped it."""
        newest = found.manifest.body.version
        if number == newest and not found.is_folder:
            return found
        if not 1 <= number <= newest and not found.is_folder:
            raise NotFoundError(f"'{found.path}' has no version {number}: the newest is {newest}.")
        for version in self.of(found):
            if version.number == number:
                self._warn_of(version)
                return version.found
        raise NotFoundError(
            f"The server no longer has version {number} of '{found.path}'.",
            hint=f"'fsclient history {found.path.argument}' shows what it has.",
        )

    def _warn_of(self, version: Version) -> None:
        if not version.placed:
            self._tree.context.people.tell(
                "It can no longer be checked whether "
                f"{version.found.manifest.body.author} was allowed to write version "
                f"{version.number} of '{version.found.path}'."
            )

    def _chain(self, newest: VerifiedManifest) -> list[VerifiedManifest]:
        """Request the earlier manifests, and verify each against the next newer one."""
        connection, chain = self._tree.context.connection, [newest]
        asked = GetHistory(newest.body.node, newest.body.version)
        older = items_of(connection, asked, History, lambda part: part.manifests, MAX_VERSIONS)
        for signed in older:
            chain.append(older_manifest(signed, chain[-1]))
        heads = {manifest.body.log_head for manifest in chain}
        self._tree.context.check_heads(heads)
        return chain

    def _met(
        self, found: TreeNode, manifest: VerifiedManifest
    ) -> tuple[TreeNode, str, bool] | None:
        try:
            return self._open(found, manifest)
        except (IntegrityError, RemoteProtocolError) as error:
            # Its signature was verified first, so that the author may be named.
            body = manifest.body
            self.refused.append(
                IntegrityError(
                    f"Version {body.version} of '{found.path}', signed by "
                    f"{for_terminal(body.author)}, does not verify: {error.sentence}"
                )
            )
            return None

    def _open(self, found: TreeNode, manifest: VerifiedManifest) -> tuple[TreeNode, str, bool]:
        body = manifest.body
        placed = self._tree.context.authors.check_older(manifest, found.manifest)
        keyed = found.keyed.at(body.generation)
        metadata = open_metadata(keyed.metadata_key, body)
        now = renamed(metadata, found.metadata.name)
        return TreeNode(found.path, keyed, manifest, now, found.above), metadata.name, placed


def _changes(
    then: TreeNode, name: str, before: TreeNode, name_before: str, earlier: Iterable[TreeNode]
) -> list[str]:
    """Return in words how a version differs from the one before it."""
    was, now = before.manifest.body, then.manifest.body
    changes = []
    if now.content != was.content:
        again = next((one for one in earlier if one.manifest.body.content == now.content), None)
        restored = again and f"content of version {again.manifest.body.version}"
        changes.append(restored or "content")
    if name != name_before:
        changes.append(f"renamed from '{name_before}'")
    if now.parent != was.parent:
        changes.append("moved")
    if then.metadata.mode is not before.metadata.mode:
        changes.append(_MODES[then.metadata.mode])
    if not changes and then.metadata.mtime_ns != before.metadata.mtime_ns:
        changes.append("time")
    if now.generation != was.generation:
        changes.append("new key")
    return changes or ["signed again"]


_MODES = {
    Mode.REGULAR: "not executable",
    Mode.EXECUTABLE: "executable",
    Mode.SYMLINK: "symbolic link",
}
