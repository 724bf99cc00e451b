"""Where opened nodes hang: the folders above each, its owner, and the generations of the keys."""

from __future__ import annotations

from fsproto.errors import IntegrityError
from fsproto.keys.tree import KeyedNode
from fsproto.limits import MAX_PATH_PARTS
from fsproto.names import for_terminal
from fsproto.types import NO_NODE, NodeId
from fsproto.values import Value


class Place(Value, frozen=True):
    """Where an opened node hangs."""

    parent: NodeId
    """`NO_NODE` for a root, and for the top of a share."""
    owner: str
    generation: int
    link_generation: int
    torn: bool = False
    """It was seen in another folder before; its present folder must be looked up again."""


class Places:
    """The places of all nodes that were opened in a session."""

    def __init__(self) -> None:
        self._places: dict[NodeId, Place] = {}
        self.tops: set[NodeId] = set()
        """Tops of trees; their own lists name the writers there."""

    def register_top(self, node: KeyedNode, owner: str) -> None:
        """Register the top of a tree: the user's own, or the top of a share."""
        self._check_owner(node.node, owner)
        self._places[node.node] = Place(NO_NODE, owner, node.generation, 0)
        self.tops.add(node.node)

    def register(self, parent: NodeId, node: KeyedNode, link_generation: int) -> None:
        """Note what lies in a folder that was entered.

        Raises `IntegrityError` for a folder that lies in itself, or deeper than paths may be.
        """
        way = self.way_up(parent)
        if node.node in way:
            raise IntegrityError("A folder lies in itself.")
        if len(way) > MAX_PATH_PARTS:
            raise IntegrityError(f"A folder lies deeper than {MAX_PATH_PARTS} folders.")
        owner, before = self._places[parent].owner, self._places.get(node.node)
        self._check_owner(node.node, owner)
        moved = before is not None and before.parent not in (parent, NO_NODE)
        self._places[node.node] = Place(parent, owner, node.generation, link_generation, moved)

    def _check_owner(self, node: NodeId, owner: str) -> None:
        """Refuse a node that two people call their own: each could write for the other there."""
        before = self._places.get(node)
        if before is not None and before.owner != owner:
            raise IntegrityError(
                f"THE SERVER SHOWS ONE FOLDER OR FILE AS THAT OF BOTH "
                f"{for_terminal(before.owner)} AND {for_terminal(owner)}.",
                hint="Stop and talk to both: one of them claims what is the other's.",
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
                raise IntegrityError(f"A folder lies deeper than {MAX_PATH_PARTS} folders.")
            way.append(node)
            node = self._places[node].parent
        return way

    def __contains__(self, node: NodeId) -> bool:
        return node in self._places

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

    def generations(self, way: list[NodeId], *, ever: bool) -> list[int]:
        """Return for each node on a way up the generation that something at its start hangs on."""
        found = []
        old, generation = ever, 1
        for node in way:
            place = self._places[node]
            found.append(generation if old else place.generation)
            above = self._places.get(place.parent)
            is_due_on_path = above is not None and place.link_generation < above.generation
            # From a link that is due on, generations above say nothing of what is below.
            generation = place.link_generation if is_due_on_path and not old else 1
            old = old or is_due_on_path
        return found
