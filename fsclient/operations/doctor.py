"""Compares the server's versions with the seen versions, and accepts the server's.

The server's versions are read with an empty memory, so that seen versions cause no error;
signatures, keys and proofs are checked as always. Then each version is compared with the memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from fsclient.session.session import Session
from fsclient.sharing.own_shares import folders_above
from fsclient.tree.nodes import TreeNode, name_seen
from fsclient.trust.seen import SeenVersions
from fsclient.trust.sightings import GONE, LIST, MANIFEST, STATE, Sighting
from fsproto.errors import FsError
from fsproto.names import RemotePath
from fsproto.types import NO_NODE, NodeId
from fsproto.values import Value


class Difference(Value, frozen=True):
    """One value whose version at the server does not follow from the seen version."""

    path: RemotePath
    """Where it is; of a node whose name cannot be known, the folder in which it was."""
    seen: Sighting
    shown: Sighting | None
    """None if the server does not show the node, or the member list, at all."""
    below: bool = True
    """Whether it is at or below the path that was requested; else it is on the way there."""
    named: bool = True
    """Whether `path` ends with its name."""

    @property
    def effect(self) -> str | None:
        """What accepting the server's version means for a file or folder; None for a list or state.

        `lost`: it is not there. `back`: this device had removed it. `replaced`: it is another
        version.
        """
        if self.seen.what not in (MANIFEST, GONE):
            return None
        if self.shown is None:
            return "lost"
        return "back" if self.seen.what == GONE else "replaced"


def differences(session: Session, memory: SeenVersions, path: RemotePath) -> list[Difference]:
    """Return the differences on the way to `path`, there, and below.

    `session` has an empty memory of its own (`open_to_compare`). Honest changes are no difference.
    """
    tree, mark = session.tree, memory.mark()
    found = tree.find(path)
    nodes = {above.keyed.node: above for above in folders_above(found)}
    if found.path.owner is None:
        nodes[tree.root.keyed.node] = tree.root
    on_the_way = set(nodes) - {found.keyed.node}
    for one in _everything(session, found):
        nodes[one.keyed.node] = one
    tree.context.look_at_lists(list(nodes.values()))
    versions = [
        one
        for one in session.memory.everything()
        if one.node in nodes and one.what in (STATE, MANIFEST, LIST)
    ]
    differing = [
        Difference(nodes[shown.node].path, seen, shown, shown.node not in on_the_way)
        for shown, seen in memory.conflicting(versions, mark, tree.context.questions.lineages)
    ]
    differing += _missing_lists(session, memory, mark, nodes, on_the_way)
    folders = [one for one in differing if one.seen.what == STATE]
    for folder_state in folders:
        at = nodes[folder_state.seen.node]
        differing += [
            _lost(at, lost, below=folder_state.below)
            for lost in memory.below(at.keyed.node)
            if lost.node not in nodes and not _was_removed(memory, lost)
        ]
    in_folders = {
        node: one
        for node, one in nodes.items()
        if one.manifest.body.parent in {state.seen.node for state in folders}
    }
    differing += _come_back(session, memory, in_folders, on_the_way)
    return sorted(differing, key=lambda one: (one.path.parts, one.seen.what, one.seen.node))


def _lost(folder: TreeNode, seen: Sighting, *, below: bool) -> Difference:
    name = name_seen(folder, seen)
    path = folder.path if name is None else folder.path.child(name)
    return Difference(path, seen, None, below, named=name is not None)


def _come_back(
    session: Session,
    memory: SeenVersions,
    nodes: dict[NodeId, TreeNode],
    on_the_way: set[NodeId],
) -> list[Difference]:
    """Return those of the nodes that this device has removed, in the version that is shown."""
    shown = {one.node: one for one in session.memory.everything() if one.what == MANIFEST}
    return [
        Difference(nodes[node].path, gone, now, node not in on_the_way)
        for node in nodes.keys() & shown.keys()
        if (gone := memory.seen(node, GONE)) is not None
        and (now := shown[node]).point.version <= gone.point.version
    ]


def _was_removed(memory: SeenVersions, seen: Sighting) -> bool:
    """Return whether this device has removed a node in the version that it has seen last."""
    gone = memory.seen(seen.node, GONE)
    return gone is not None and gone.point.version >= seen.point.version


def _missing_lists(
    session: Session,
    memory: SeenVersions,
    mark: int,
    nodes: dict[NodeId, TreeNode],
    on_the_way: set[NodeId],
) -> list[Difference]:
    """Return the member lists that were seen before `mark`, and that the server does not show."""
    shown = {one.node for one in session.memory.everything() if one.what == LIST}
    return [
        Difference(nodes[node].path, seen, None, node not in on_the_way)
        for node in memory.had(nodes, LIST, mark) - shown
        if (seen := memory.seen(node, LIST)) is not None
    ]


def accept(memory: SeenVersions, differing: list[Difference]) -> int:
    """Replace seen versions by the server's; return the number of replaced values."""
    taken = [one for one in differing if one.below]
    memory.accept(
        [one.shown for one in taken if one.shown is not None],
        gone=[one.seen for one in taken if one.shown is None or one.effect == "back"],
    )
    return len(taken)


def _everything(session: Session, found: TreeNode) -> Iterator[TreeNode]:
    if found.keyed.node != NO_NODE:
        yield found
    folders = deque([(found, None)] if found.is_folder else [])
    for _, inside in session.tree.listings(folders):
        if isinstance(inside, FsError):
            raise inside
        yield from inside.nodes
        folders.extend((one, None) for one in inside.nodes if one.is_folder)
