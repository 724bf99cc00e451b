"""With whom the entries of a listing are shared, and who shares with the user; for `ls`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fskit.text import count_text
from fsproto.keys.member_list import stated_members
from fsproto.names import for_terminal
from fsproto.types import NodeId

if TYPE_CHECKING:
    from fsclient.tree.nodes import TreeNode
    from fsclient.tree.tree import Tree

_NAMED = 3
"""Members that a mark names."""


def members_of(tree: Tree, nodes: Iterable[TreeNode]) -> dict[NodeId, list[str]]:
    """Return the members of the nodes that the user shares on their own; without former members.

    A member list counts if the user has signed it for exactly this node. A share that this client
    has seen, and that the server does not name, is looked for as by `own_shares`.
    """
    from fsclient.sharing.own_shares import own_shares, told_shares

    mine = {one.keyed.node: one for one in nodes if one.path.owner is None and one.path.parts}
    if not mine:
        return {}
    mark, found = tree.context.memory.mark(), dict[NodeId, list[str]]()
    for own in told_shares(tree):
        node = stated_members(own.members).node
        if node in mine:
            tree.context.register(mine[node])
            me = tree.context.identity.user
            body = tree.context.authors.verified_list(own.members, node, me, mark).body
            found[node] = [one.user for one in body.members if one.user not in own.left]
    if mine.keys() & (tree.context.memory.shared().keys() - found.keys()):
        own_shares(tree)
    return {node: users for node, users in found.items() if users}


def mark(members: list[str]) -> str:
    """Return the text after the name of an entry; empty if it is not shared."""
    if not members:
        return ""
    shown, more = members[:_NAMED], len(members) - _NAMED
    if more > 0:
        shown.append(count_text(more, "other"))
    *first, last = map(for_terminal, shown)
    names = f"{', '.join(first)} and {last}" if first else last
    return f"  (shared with {names})"


def who_shares(tree: Tree) -> str:
    """Return a line about the users who share something with the user; empty if nobody does."""
    owners = [f"{for_terminal(owner)}:" for owner in tree.shared.owners()]
    if not owners:
        return ""
    return f"Shared with you: {'  '.join(owners)}  ('fsclient ls {owners[0]}')"
