"""The user's own shares: the member lists that the user signed, fetched from the server.

The client remembers the shares that it has seen. If the server omits one of them, the client looks
for its node at the old path. A node that is still there proves that the server withholds the list.
"""

from __future__ import annotations

from bisect import insort
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fsclient.connection.parts import items_of
from fsclient.tree.ways import found_at
from fsclient.trust.sightings import seen_list
from fsproto.errors import (
    ConflictError,
    FsError,
    IntegrityError,
    NotFoundError,
    RemoteProtocolError,
    RollbackError,
    SecurityError,
)
from fsproto.keys.grants import Role
from fsproto.keys.member_list import VerifiedMembers, stated_members
from fsproto.limits import MAX_SHARES
from fsproto.messages.shares import GetShared, Own, Shared
from fsproto.names import RemotePath
from fsproto.types import NodeId

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fsclient.tree.nodes import TreeNode
    from fsclient.tree.tree import Tree

_AT_ONCE, _BYTES_AT_ONCE = 256, 1 << 22
"""Shares that are looked up together, and the bytes of their lists."""


@dataclass(frozen=True)
class OwnShare:
    """A file or folder of the user that has a member list."""

    found: TreeNode
    members: VerifiedMembers
    left: list[str]
    """Members that have left the share, as the server states."""

    def shows(self, found: TreeNode) -> bool:
        """Return whether this share lets its members see a node."""
        return found.keyed.node == self.found.keyed.node or is_below(found, self.found)

    @property
    def ways(self) -> dict[str, dict[str, Role]]:
        """For each member the role of each way, without former members."""
        ways, roles = self.members.all_ways(), self.roles
        return {user: ways[user] for user in roles}

    @property
    def roles(self) -> dict[str, Role]:
        """The role of each member, without former members."""
        listed, left = self.members.body.members, set(self.left)
        return {one.user: one.role for one in listed if one.user not in left}


@dataclass(frozen=True)
class LostShare:
    """A share of the user that cannot be used now: its way or its list does not verify."""

    node: NodeId
    path: RemotePath | None
    """Where this client saw the node last; None if it never saw it."""
    error: FsError
    """`ConflictError` if the server or a concurrent change may be the reason."""

    @property
    def data(self) -> dict[str, Any]:
        """The fields for the JSON result."""
        path = str(self.path) if self.path is not None else None
        return {"id": self.node.hex(), "path": path, "message": self.error.sentence}

    def __str__(self) -> str:
        return f"'{self.path}'" if self.path else f"the share of node {self.node.hex()[:8]}"


@dataclass(frozen=True)
class OwnShares:
    """The user's own shares, each of which was verified by itself."""

    shares: list[OwnShare]
    """Sorted by path."""
    lost: list[LostShare]

    @cached_property
    def _by_node(self) -> dict[NodeId, OwnShare]:
        return {share.found.keyed.node: share for share in self.shares}

    def of(self, found: TreeNode) -> OwnShare | None:
        """Return the share of this node itself, if it has one."""
        return self._by_node.get(found.keyed.node)

    def with_share(self, share: OwnShare) -> OwnShares:
        """Return the shares with one of them as it is now."""
        node = share.found.keyed.node
        shares = [one for one in self.shares if one.found.keyed.node != node]
        insort(shares, share, key=lambda one: one.found.path.parts)
        return OwnShares(shares, self.lost)

    def above(self, found: TreeNode) -> Iterator[OwnShare]:
        """Yield the shares of the folders above a node."""
        for folder in folders_above(found):
            share = self.of(folder)
            if share is not None:
                yield share

    def check(self, found: TreeNode) -> None:
        """Raise the error of a lost share of this node, or of a folder above it."""
        way = {found.keyed.node, *(above.keyed.node for above in folders_above(found))}
        for one in self.lost:
            if one.node in way:
                raise one.error


def own_shares(tree: Tree) -> OwnShares:
    """Return the user's own shares.

    A writer in a shared folder can make the way to a share below it unusable. So each share is
    verified by itself, and only a share that does not verify is lost. `RollbackError` if the server
    withholds a share that this client has seen.
    """
    expected = tree.context.memory.shared()
    shares, lost = _told_shares(tree, expected)
    if lost:  # a share may have been moved or renewed since the server named its place
        shares, lost = _told_shares(tree, expected)
    told = {share.found.keyed.node: share.found.path.parts for share in shares}
    gone = expected.keys() - told.keys() - {one.node for one in lost}
    for node in set(gone):
        try:
            _check_gone(tree, node, expected[node])
        except IntegrityError as error:  # an entry on the way does not verify
            lost.append(_lost(node, expected[node], error))
            gone -= {node}
    tree.context.memory.note_shared(told, gone=gone)
    return OwnShares(sorted(shares, key=lambda share: share.found.path.parts), lost)


def are_as_before(tree: Tree, before: OwnShares, *, places: bool) -> bool:
    """Return whether the server names the same shares with the same lists, and at the same places.

    Without `places`, they may be anywhere. The answer is not verified: it decides only whether a
    verified look at the shares is needed.
    """
    lost = {one.node for one in before.lost}
    now = {stated_members(own.members).node: own for own in told_shares(tree)}
    if now.keys() - lost != {share.found.keyed.node for share in before.shares}:
        return False
    for share in before.shares:
        own = now[share.found.keyed.node]
        if own.members != share.members.signed:
            return False
        way = [share.found, *folders_above(share.found)][-2::-1]
        if places and own.tokens != [one.manifest.body.token for one in way]:
            return False
    return True


def _told_shares(
    tree: Tree, expected: Mapping[NodeId, tuple[str, ...]]
) -> tuple[list[OwnShare], list[LostShare]]:
    """Ask for all shares, and verify each by itself."""
    shares, lost, mark = list[OwnShare](), list[LostShare](), tree.context.memory.mark()
    seen = set[NodeId]()

    @contextmanager
    def by_itself(node: NodeId) -> Iterator[None]:
        try:
            yield
        except RollbackError:
            raise  # no writer can cause it
        except (SecurityError, ConflictError, NotFoundError) as error:
            if not tree.context.connection.usable:
                raise
            lost.append(_lost(node, expected.get(node), error))

    for some in _some_at_once(told_shares(tree)):
        verified = list[OwnShare]()
        for own, there in zip(some, found_at(tree, [own.tokens for own in some]), strict=True):
            node = stated_members(own.members).node
            if node in seen:
                raise RemoteProtocolError("The server named one of your shares twice.")
            seen.add(node)
            with by_itself(node):
                verified.append(_verified(tree, own, node, there))
        # Together, because each time the disk is waited for; and before an old list is taken for
        # a concurrent change.
        shown = [one for share in verified for one in seen_list(share.members)]
        tree.context.check_seen(shown, mark)
        for share in verified:
            with by_itself(share.found.keyed.node):
                _check_key(share)
                shares.append(share)
    return shares, lost


def _some_at_once(told: Iterator[Own]) -> Iterator[list[Own]]:
    """Yield shares in groups that take little memory."""
    some, size = list[Own](), 0
    for own in told:
        some.append(own)
        size += len(own.members.payload)
        if len(some) >= _AT_ONCE or size >= _BYTES_AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


def _verified(tree: Tree, own: Own, node: NodeId, there: TreeNode | FsError) -> OwnShare:
    """Verify a share, except that its list is not compared with the seen ones."""
    if isinstance(there, FsError):
        raise there
    found = there
    if found.keyed.node != node:
        raise IntegrityError(f"'{found.path}' is not the node of that share.")
    tree.context.register(found)
    members = tree.context.authors.read_list(own.members, node, tree.context.identity.user)
    return OwnShare(found, members, own.left)


def _check_key(share: OwnShare) -> None:
    """Check that a member list is of the generation of its node's key."""
    found, generation = share.found, share.members.body.generation
    if generation < found.keyed.generation:  # the key was looked up later
        raise ConflictError(f"'{found.path}' has just taken a new key.")
    if generation > found.keyed.generation:
        raise IntegrityError(f"The key of '{found.path}' is older than its member list.")


def _lost(node: NodeId, parts: tuple[str, ...] | None, error: FsError) -> LostShare:
    path = RemotePath(None, parts) if parts is not None else None
    named = LostShare(node, path, SecurityError())
    sentence = f"The way to {named}, which you share, cannot be verified: {error.sentence}"
    kind = ConflictError if isinstance(error, ConflictError) else IntegrityError
    return LostShare(node, path, kind(sentence, hint=error.hint))


def told_shares(tree: Tree) -> Iterator[Own]:
    """Yield the shares that the server names; nothing is verified."""
    connection, asked = tree.context.connection, GetShared()
    return items_of(connection, asked, Shared, lambda part: part.shared, MAX_SHARES)


def _check_gone(tree: Tree, node: NodeId, parts: tuple[str, ...]) -> None:
    try:
        found = tree.find(RemotePath(None, parts))
    except NotFoundError:
        return
    if found.keyed.node == node:
        raise RollbackError(
            f"THE SERVER WITHHOLDS the member list of '{found.path}'.",
            hint="Stop and talk to your administrator. If a backup was restored: fsclient doctor /",
        )


def folders_above(found: TreeNode) -> Iterator[TreeNode]:
    """Yield the folders above a node, the nearest first."""
    above = found.above
    while above is not None:
        yield above
        above = above.above


def is_below(found: TreeNode, top: TreeNode) -> bool:
    """Return whether a node is below a folder, at any depth."""
    return any(above.keyed.node == top.keyed.node for above in folders_above(found))
