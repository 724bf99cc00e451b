"""The user's own shares: the member lists that the user signed, fetched from the server.

The client remembers the shares that it has seen. If the server omits one of them, the client looks
for its node at the old path. A node that is still there proves that the server withholds the list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsproto.errors import NotFoundError, RemoteProtocolError, RollbackError
from fsproto.keys.grants import Role
from fsproto.keys.member_list import VerifiedMembers, stated_members
from fsproto.messages.shares import GetShared, Own, Shared
from fsproto.names import RemotePath
from fsproto.types import NodeId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fsclient.tree.nodes import TreeNode
    from fsclient.tree.tree import Tree


@dataclass(frozen=True)
class OwnShare:
    """A file or folder of the user that has a member list."""

    found: TreeNode
    members: VerifiedMembers
    left: list[str]
    """Members who left the share, as the server states."""

    def shows(self, found: TreeNode) -> bool:
        """Return whether this share lets its members see a node."""
        return found.keyed.node == self.found.keyed.node or is_below(found, self.found)

    @property
    def ways(self) -> dict[str, dict[str, Role]]:
        """For each member the role of each way; members who left are omitted."""
        return {user: self.members.ways(user) for user in self.roles}

    @property
    def roles(self) -> dict[str, Role]:
        """The role of each member; members who left are omitted."""
        listed = self.members.body.members
        return {one.user: one.role for one in listed if one.user not in self.left}


def own_shares(tree: Tree) -> list[OwnShare]:
    """Return the user's own shares, sorted by path.

    `RollbackError` if the server withholds one that this client has seen.
    """
    expected, mark = tree.memory.shared(), tree.memory.mark()
    shares = []
    for own in _told(tree):
        found = tree.root
        for token in own.tokens:
            found = tree.step(found, token)
        node, stated = found.keyed.node, stated_members(own.members).node
        if node != stated:
            raise RemoteProtocolError("The server sent a member list for another place.")
        if found.above is not None:
            link_generation = found.manifest.body.link_generation
            tree.authors.enter(found.above.keyed.node, found.keyed, link_generation)
        members = tree.authors.verified_list(own.members, node, tree.identity.user, mark)
        if members.body.generation != found.keyed.generation:
            raise RemoteProtocolError("The server sent a member list for another key.")
        shares.append(OwnShare(found, members, own.left))
    told = {share.found.keyed.node: share.found.path.parts for share in shares}
    for node in expected.keys() - told.keys():
        _check_gone(tree, node, expected[node])
    tree.memory.note_shared(told, gone=expected.keys() - told.keys())
    return sorted(shares, key=lambda share: share.found.path.parts)


def _told(tree: Tree) -> list[Own]:
    request = tree.connection.send(GetShared())
    answers = [answer := tree.connection.answer(request, Shared)]
    while answer.more:
        answers.append(answer := tree.connection.answer(request, Shared))
    return [own for answer in answers for own in answer.shared]


def _check_gone(tree: Tree, node: NodeId, parts: tuple[str, ...]) -> None:
    try:
        found = tree.find(RemotePath(None, parts))
    except NotFoundError:
        return
    if found.keyed.node == node:
        raise RollbackError(
            f"THE SERVER WITHHOLDS whom '{found.path}' is shared with.",
            hint="Stop and talk to your administrator: this does not happen by accident.",
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


def of_node(found: TreeNode, shares: list[OwnShare]) -> OwnShare | None:
    """Return the share of this node itself, if it has one."""
    node = found.keyed.node
    return next((share for share in shares if share.found.keyed.node == node), None)
