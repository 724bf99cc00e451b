"""Comparing what the server shows with what this machine has seen, and accepting what it shows.

The server's side is read with an empty memory, so that nothing which was seen stands in the way:
signatures, keys and proofs are checked as always. Then each version is compared with the memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from fsclient.session.session import Session
from fsclient.sharing.own_shares import folders_above
from fsclient.tree.nodes import TreeNode
from fsclient.trust.seen import SeenVersions
from fsclient.trust.sightings import LIST, MANIFEST, STATE, Sighting
from fsproto.names import RemotePath
from fsproto.types import NO_NODE
from fsproto.values import Value


class Difference(Value, frozen=True):
    """One value of which the server shows a version that does not follow from what was seen."""

    path: RemotePath
    """Where it is; of a node that is not shown, the folder in which it was."""
    seen: Sighting
    shown: Sighting | None
    """None if the server does not show the node at all."""
    below: bool = True
    """Whether it is at or below the path that was asked about; else it is on the way there."""


def differences(session: Session, memory: SeenVersions, path: RemotePath) -> list[Difference]:
    """Return what differs on the way to `path`, there, and below.

    `session` has an empty memory of its own (`open_to_compare`). Honest changes are no difference.
    """
    tree = session.tree
    found = tree.find(path)
    nodes = {above.keyed.node: above for above in folders_above(found)}
    if found.path.owner is None:
        nodes[tree.root.keyed.node] = tree.root
    on_the_way = set(nodes) - {found.keyed.node}
    for one in _everything(session, found):
        nodes[one.keyed.node] = one
    for folder in nodes:
        tree.context.authors.list_of(folder)
    differing = []
    for shown in session.memory.everything():
        node = nodes.get(shown.node)
        if node is None or shown.what not in (STATE, MANIFEST, LIST):
            continue
        seen = memory.conflicting(shown, tree.context.questions.lineages)
        if seen is not None:
            below = shown.node not in on_the_way
            differing.append(Difference(node.path, seen, shown, below))
    folders = [one for one in differing if one.seen.what == STATE]
    for folder_state in folders:
        differing += [
            Difference(folder_state.path, lost, None, folder_state.below)
            for lost in memory.below(folder_state.seen.node)
            if lost.node not in nodes
        ]
    return sorted(differing, key=lambda one: (one.path.parts, one.seen.what, one.seen.node))


def accept(memory: SeenVersions, differing: list[Difference]) -> int:
    """Have the memory take what the server shows in place of what was seen; return how many."""
    taken = [one for one in differing if one.below]
    memory.accept(
        [one.shown for one in taken if one.shown is not None],
        gone=[one.seen for one in taken if one.shown is None],
    )
    return len(taken)


def _everything(session: Session, found: TreeNode) -> Iterator[TreeNode]:
    waiting = [found]
    while waiting:
        one = waiting.pop()
        if one.keyed.node != NO_NODE:
            yield one
        if one.is_folder:
            waiting += session.tree.children(one).nodes
