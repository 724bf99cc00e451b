"""Lookup of the gateway's paths: from a path to a verified node, through symbolic links.

A link is resolved inside the gateway's tree: `/` is the top of that tree, so no link leads to the
disk of this machine. Results are cached for a short time, because programs look at each file
several times in a row, and at the folders above it each time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from fsclient.gateway.fetching import link_target
from fsclient.gateway.paths import SHARED, GatewayPath, place_of
from fsclient.session.session import Session
from fsclient.tree.nodes import TreeNode
from fsproto.errors import FsError, InvalidNameError, NotFoundError

FRESH_S = 1.0
"""Seconds for which a lookup result is cached."""
_MOST_LINKS = 40
"""The most symbolic links on one path, as on Linux."""
_MOST_KNOWN = 50_000
_MOST_WARNED = 1000


@dataclass(frozen=True)
class GatewayNode:
    """A node at a path of the gateway."""

    place: GatewayPath
    found: TreeNode | None
    """None for `/@shared`, which is in no user's tree."""

    @property
    def kind(self) -> str:
        """The kind of node: `folder`, `file` or `symlink`."""
        return self.found.kind if self.found is not None else "folder"

    def folder(self) -> TreeNode:
        """Return the node as a folder; raise `NotFoundError` if it is not a folder of a tree."""
        if self.found is None or not self.found.is_folder:
            raise NotFoundError(f"'{self.place}' is not a folder of any user.")
        return self.found


class PathLookup:
    """A cached lookup of nodes; only the session's thread may use it."""

    def __init__(
        self,
        warn: Callable[[FsError], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`warn` is called once for each entry that does not verify; `clock` returns seconds."""
        self._warn_of = warn
        self._warned: set[str] = set()
        self._clock = clock
        self._known: dict[GatewayPath, tuple[float, GatewayNode]] = {}
        self._shares_asked = -FRESH_S

    def find(self, session: Session, place: GatewayPath, *, follow: bool) -> GatewayNode:
        """Return the node at a path; with `follow`, also follow a link at its end."""
        at, node = self.reach(session, place, follow=follow)
        if node is None:
            raise NotFoundError(f"There is no '{at}'.")
        return node

    def reach(
        self, session: Session, place: GatewayPath, *, follow: bool
    ) -> tuple[GatewayPath, GatewayNode | None]:
        """Return a path with its links resolved, and the node there, if it exists.

        Raises `NotFoundError` if its parent folder does not exist either.
        """
        here, left, links = self._top(session), deque(place.parts), 0
        while left:
            name = left.popleft()
            below = self._below(session, here, name)
            if below is None:
                if left:
                    raise NotFoundError(f"There is no '{here.place.child(name)}'.")
                return here.place.child(name), None
            if below.found is not None and below.kind == "symlink" and (left or follow):
                links += 1
                if links > _MOST_LINKS:
                    raise NotFoundError(f"'{place}' leads through too many symbolic links.")
                left = deque((*_led_to(session, below.found, here.place).parts, *left))
                here = self._top(session)
                continue
            if left and below.kind != "folder":
                raise NotFoundError(f"'{below.place}' is not a folder.")
            here = below
        return here.place, here

    def inside(self, session: Session, node: GatewayNode) -> list[GatewayNode]:
        """Return the nodes in a folder, sorted by name."""
        place = node.place
        if place.is_sharers:
            owners = self._sharers(session)
            return [self._note(self._head(session, place, owner)) for owner in sorted(owners)]
        if place.parts[:1] == (SHARED,):
            self._refresh_shares(session)
        contents = session.tree.children(node.folder())
        for refused in contents.refused:
            self._warn(refused.error)
        # The top of another user's shares names each by its path, not by the owner's name for it.
        nodes = [GatewayNode(place.child(child.path.name), child) for child in contents.nodes]
        nodes = [self._note(one) for one in nodes]
        if not place.parts:
            nodes = [one for one in nodes if one.place.name != SHARED]
            if self._sharers(session):
                nodes.append(GatewayNode(GatewayPath((SHARED,)), None))
        return nodes

    def forget(self, *places: GatewayPath) -> None:
        """Remove changed paths and everything below them from the cache."""
        for place in places:
            for known in [known for known in self._known if known.within(place)]:
                del self._known[known]

    def forget_all(self) -> None:
        """Clear the cache."""
        self._known.clear()
        self._shares_asked = -FRESH_S

    # --- one step

    def _top(self, session: Session) -> GatewayNode:
        return GatewayNode(GatewayPath(()), session.tree.root)

    def _below(self, session: Session, here: GatewayNode, name: str) -> GatewayNode | None:
        place = here.place.child(name)
        known = self._known.get(place)
        if known is not None and self._clock() - known[0] < FRESH_S:
            return known[1]
        if place.is_sharers:
            return GatewayNode(place, None)
        if here.place.is_sharers:
            try:
                return self._note(self._head(session, here.place, name))
            except (NotFoundError, InvalidNameError):
                return None
        if place.parts[:1] == (SHARED,):
            self._refresh_shares(session)
        found = session.tree.look(here.folder(), [name])[name]
        return None if found is None else self._note(GatewayNode(place, found))

    def _head(self, session: Session, sharers: GatewayPath, owner: str) -> GatewayNode:
        """Return the top folder of everything that a user shares."""
        if owner == session.identity.user:
            raise NotFoundError("Your own tree is at '/', not below '/@shared'.")
        self._refresh_shares(session)
        remote = sharers.child(owner).remote()
        head = session.retry.run(lambda: session.tree.shared.head(remote.owner or ""))
        return GatewayNode(sharers.child(owner), head)

    def _sharers(self, session: Session) -> set[str]:
        """Return the users who share something that this client can open."""
        return set(session.retry.run(session.tree.shared.owners))

    def _refresh_shares(self, session: Session) -> None:
        """Request the shares of other users again, if the last request is too old."""
        now = self._clock()
        if now - self._shares_asked >= FRESH_S:
            self._shares_asked = now
            session.tree.start_command()

    def _warn(self, error: FsError) -> None:
        if error.sentence not in self._warned and len(self._warned) < _MOST_WARNED:
            self._warned.add(error.sentence)
            self._warn_of(error)

    def _note(self, node: GatewayNode) -> GatewayNode:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[node.place] = self._clock(), node
        return node


def _led_to(session: Session, link: TreeNode, folder: GatewayPath) -> GatewayPath:
    try:
        return place_of(link_target(session, link), folder)
    except InvalidNameError:
        raise NotFoundError(f"The symbolic link '{link.path}' has no valid target.") from None
