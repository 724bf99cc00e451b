"""Where opened nodes hang: the folders above each, its owner, and the generations of the keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fsproto.errors import IntegrityError
from fsproto.keys.tree import KeyedNode
from fsproto.limits import MAX_PATH_PARTS
from fsproto.names import for_terminal
from fsproto.proofs.prefix_tree import FolderEntry
from fsproto.types import NO_NODE, NodeId
from fsproto.values import Value


class Place(Value, frozen=True):
    """Where an opened node hangs."""

    parent: NodeId
    """`NO_NODE` for a root, and for the top of a share."""
    owner: str
    keyed: KeyedNode
    link_generation: int
    entry: FolderEntry | None = None
    """Its entry in the parent, as it was seen; None for a top, and for a removed node."""
    torn: bool = False
    """The same command has seen it in another folder, too: it must be looked up again."""
    command: int = 0
    """The number of the command that has seen it here."""


class Places:
    """The place of each node that a session has opened."""

    def __init__(self) -> None:
        self._places: dict[NodeId, Place] = {}
        self._command = 0
        self.tops: set[NodeId] = set()
        """Tops of trees; their own lists name the writers there."""

    def start_command(self) -> None:
        """Take a node that is now in another folder than before as moved in the meantime."""
        self._command += 1

    def register_top(self, node: KeyedNode, owner: str) -> None:
        """Register the top of a tree: the user's own, or the top of a share."""
        self._check_owner(node.node, owner)
        self._places[node.node] = Place(NO_NODE, owner, node, 0)
        self.tops.add(node.node)

    def register(
        self,
        parent: NodeId,
        node: KeyedNode,
        link_generation: int,
        entry: FolderEntry | None = None,
    ) -> None:
        """Note what lies in a folder that was entered; `entry` is its entry there.

        Raises `IntegrityError` for a folder that lies in itself, or deeper than paths may be.
        """
        way = self.way_up(parent)
        if node.node in way:
            raise IntegrityError("A folder lies in itself.")
        if len(way) > MAX_PATH_PARTS:
            raise IntegrityError(f"A folder is deeper than {MAX_PATH_PARTS} folders.")
        owner, before = self._places[parent].owner, self._places.get(node.node)
        self._check_owner(node.node, owner)
        moved = before is not None and before.parent not in (parent, NO_NODE)
        torn = moved and before is not None and before.command == self._command
        where = parent, owner, node, link_generation, entry
        self._places[node.node] = Place(*where, torn, self._command)

    def put_back(self, before: Mapping[NodeId, Place]) -> None:
        """Return nodes to the places that they had, because a change of them was not made."""
        self._places.update(before)

    def _check_owner(self, node: NodeId, owner: str) -> None:
        """Refuse a node that two people call their own: each could write for the other there."""
        before = self._places.get(node)
        if before is not None and before.owner != owner:
            raise IntegrityError(
                f"THE SERVER SHOWS ONE FOLDER OR FILE AS THAT OF BOTH "
                f"{for_terminal(before.owner)} AND {for_terminal(owner)}.",
                hint="Stop and talk to both owners: one of them claims the other's folder.",
            )

    def owner_of(self, node: NodeId) -> str:
        """Return whose tree an entered node is in."""
        return self._places[node].owner

    def way_up(self, node: NodeId) -> list[NodeId]:
        """Return an entered node and those above it, as far as they can be seen.

        Raises `IntegrityError` if there are more of them than a path has.
        """
        way: list[NodeId] = []
        while node != NO_NODE:
            if len(way) > MAX_PATH_PARTS:  # `enter` lets none in; a move may still add to it
                raise IntegrityError(f"A folder is deeper than {MAX_PATH_PARTS} folders.")
            way.append(node)
            node = self._places[node].parent
        return way

    def __contains__(self, node: NodeId) -> bool:
        return node in self._places

    def get(self, node: NodeId) -> Place | None:
        """Return the place of a node; None if it was not opened."""
        return self._places.get(node)

    def __getitem__(self, node: NodeId) -> Place:
        return self._places[node]

    def is_torn(self, node: NodeId) -> bool:
        """Return whether a node, or a folder above it, was found in two places."""
        return any(self._places[one].torn for one in self.way_up(node))

    def way_to_list(self, folder: NodeId) -> list[NodeId]:
        """Return the path up to the first top; its own list names the writers above it."""
        way = self.way_up(folder)
        top = next((at for at, node in enumerate(way) if node in self.tops), len(way))
        return way[: top + 1]

    def links_down(self, folder: NodeId) -> Iterator[tuple[KeyedNode, FolderEntry]]:
        """Yield each folder above an entered one, and the entry in it that leads down to that one.

        They start at the node whose list names the writers; the nearest folder is the last.
        """
        for node in reversed(self.way_to_list(folder)[:-1]):
            place = self._places[node]
            if place.entry is not None:
                yield self._places[place.parent].keyed, place.entry

    def generations(self, way: list[NodeId], *, ever: bool) -> list[int]:
        """Return for each node on a way up the generation that something at its start hangs on."""
        found = []
        old, generation = ever, 1
        for node in way:
            place = self._places[node]
            found.append(generation if old else place.keyed.generation)
            above = self._places.get(place.parent)
            is_due_on_path = above is not None and place.link_generation < above.keyed.generation
            # From a link that is due on, generations above say nothing of what is below.
            generation = place.link_generation if is_due_on_path and not old else 1
            old = old or is_due_on_path
        return found
