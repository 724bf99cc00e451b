"""Lookup of the gateway's paths: from a path to a verified node, through symbolic links.

A link is resolved inside the gateway's tree: `/` is the top of that tree, so no link leads to the
disk of this machine. Results are cached for a short time, because programs look at each file
several times in a row, and at the folders above it each time. A lookup in the cache needs no
session, so it does not wait behind a commit.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from functools import partial

from fsclient.gateway.fetching import link_target
from fsclient.gateway.known_folders import FolderRecord, KnownFolders
from fsclient.gateway.nodes import CachedNode, GatewayNode, memory_of
from fsclient.gateway.paths import SHARED, GatewayPath, place_of
from fsclient.session.session import Session
from fsclient.tree.commit import MadeCommit
from fsclient.tree.nodes import TreeNode
from fsproto.errors import FsError, InvalidNameError, NotFoundError
from fsproto.keys.tree import KeyedNode
from fsproto.types import Hash

FRESH_S = 1.0
"""Seconds for which a lookup result is cached."""
FRESH_TO_WRITE_S = 0.2
"""The same for a file that is opened for writing, and for a name that is missing: a program may
look at once for what another client has just made."""
_MOST_LINKS = 40
"""The most symbolic links on one path, as on Linux."""
_NO_STATE = Hash(b"")
_MOST_WARNED = 1000
_Cached = CachedNode | GatewayNode


class PathLookup:
    """A cached lookup of nodes; only the session's thread may use it, but for `known`."""

    def __init__(
        self,
        warn: Callable[[FsError], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`warn` is called once for each entry that does not verify; `clock` returns seconds."""
        self._warn_of = warn
        self._warned: set[str] = set()
        self._clock = clock
        self._known: KnownFolders[_Cached] = KnownFolders(memory_of)
        self._root: GatewayNode | None = None
        self._shares_asked = -FRESH_S

    def find(self, session: Session, place: GatewayPath, *, follow: bool) -> GatewayNode:
        """Return the node at a path; with `follow`, also follow a link at its end."""
        return must_exist(self.reach(session, place, follow=follow))

    def reach(
        self, session: Session, place: GatewayPath, *, follow: bool
    ) -> tuple[GatewayPath, GatewayNode | None]:
        """Return a path with its links resolved, and the node there, if it exists.

        Raises `NotFoundError` if its parent folder does not exist either.
        """
        self._root = GatewayNode(GatewayPath(()), session.tree.root)
        return _walk(
            self._root, place, partial(self._below, session), partial(_led_to, session), follow
        )

    def known(
        self, place: GatewayPath, *, follow: bool, within_s: float = FRESH_S
    ) -> tuple[GatewayPath, GatewayNode | None] | None:
        """Return what `reach` returns if the cache has it; None if the server must be asked.

        Any thread may call. The node counts if it was confirmed within the last `within_s` seconds,
        the folders above it if they were within `FRESH_S`, as for `reach`. That a folder on the
        path is missing does not count.
        """

        def below(here: GatewayNode, name: str) -> GatewayNode | None:
            is_last = len(here.place.parts) + 1 == len(place.parts)
            is_known, found = self._cached(here, name, within_s if is_last else FRESH_S)
            if not is_known:
                raise _UnknownError
            return found

        if self._root is None:
            return None
        try:
            return _walk(self._root, place, below, _unknown_target, follow)
        except (_UnknownError, NotFoundError):
            return None

    def following(self, place: GatewayPath, most: int) -> list[GatewayNode]:
        """Return up to `most` cached nodes that follow a path in its folder's listing."""
        found = self._known.following(place, most)
        return [one.opened() if isinstance(one, CachedNode) else one for one in found]

    def inside(self, session: Session, node: GatewayNode) -> list[GatewayNode]:
        """Return the nodes in a folder, sorted by name."""
        place, asked_s = node.place, self._clock()
        if place.is_sharers:
            owners = sorted(self._sharers(session))
            heads = [self._head(session, place, owner) for owner in owners]
            self._note(session, node, {one.place.name: one for one in heads}, asked_s)
            return heads
        if place.parts[:1] == (SHARED,):
            self._refresh_shares(session)
        contents = session.tree.children(node.folder())
        for refused in contents.refused:
            self._warn(refused.error)
        # The top of another user's shares names each by its path, not by the owner's name for it.
        nodes = [GatewayNode(place.child(child.path.name), child) for child in contents.nodes]
        if not place.parts:
            nodes = [one for one in nodes if one.place.name != SHARED]
        names = {one.place.name: one for one in nodes}
        # The names of refused entries are not known, so any other name may be one of them.
        self._note(session, node, names, asked_s, is_complete=not contents.refused)
        if not place.parts and self._sharers(session):
            nodes.append(GatewayNode(GatewayPath((SHARED,)), None))
        return nodes

    def committed(
        self,
        session: Session,
        made: MadeCommit,
        folders: Mapping[GatewayPath, TreeNode],
        begun_s: float,
        *,
        removed: Collection[GatewayPath] = (),
    ) -> None:
        """Apply a commit of this session, which has changed `folders`, to the cache.

        The commit started at `begun_s`. Its success proves that no other client changed the
        folders before that time.
        """
        nodes = {folder.keyed.node: folder.keyed for folder in folders.values()}
        for state in made.states.values():
            keyed = nodes.get(state.body.folder)
            is_new = state.body.folder in made.new
            if not is_new and (keyed is None or state.body.generation != keyed.generation):
                self.forget_all()  # the commit has changed keys as well
                return
        for place, folder in folders.items():
            node, shared = folder.keyed.node, place.parts[:1] == (SHARED,)
            if node not in made.states:
                self.forget(place)
                continue
            names: dict[str, GatewayNode | None] = {
                one.name: None for one in removed if one.parent == place
            }
            for manifest in made.manifests:
                if manifest.body.parent == node:
                    child = session.tree.open_entry(folder, manifest)
                    names[child.metadata.name] = GatewayNode(
                        place.child(child.metadata.name), child
                    )
            states = made.before.get(node, _NO_STATE), made.states[node].hash
            self._known.change(place, states, _cached(names), None if shared else begun_s)
            for child_node in filter(None, names.values()):
                self._note_new(made, child_node, begun_s)

    def _note_new(self, made: MadeCommit, child: GatewayNode, begun_s: float) -> None:
        """Note a new folder: it is empty."""
        keyed = _key_of(child)
        if keyed is not None and keyed.node in made.new and child.place.parts[0] != SHARED:
            state = made.states[keyed.node].hash
            record = FolderRecord[_Cached](keyed, state, begun_s, {}, is_complete=True)
            self._known.note(child.place, record, begun_s)

    def now_s(self) -> float:
        """Return the time on the clock of the cache."""
        return self._clock()

    def forget(self, *places: GatewayPath) -> None:
        """Remove changed paths and everything below them from the cache."""
        for place in places:
            self._known.forget(place)

    def forget_all(self) -> None:
        """Clear the cache."""
        self._known.forget_all()
        self._shares_asked = -FRESH_S

    # --- one step

    def _cached(
        self, here: GatewayNode, name: str, within_s: float = FRESH_S
    ) -> tuple[bool, GatewayNode | None]:
        """Return whether the cache knows what is under a name, and the node, if there is one."""
        place = here.place.child(name)
        if place.is_sharers:
            return True, GatewayNode(place, None)
        now_s = self._clock()
        is_known, found = self._known.find(
            here.place,
            _key_of(here),
            name,
            since_s=now_s - within_s,
            absent_since_s=now_s - min(within_s, FRESH_TO_WRITE_S),
        )
        return is_known, found.opened() if isinstance(found, CachedNode) else found

    def _below(self, session: Session, here: GatewayNode, name: str) -> GatewayNode | None:
        asked_s = self._clock()
        is_known, found = self._cached(here, name)
        if is_known and found is not None:  # what is missing may have been made a moment ago
            return found
        if here.place.is_sharers:
            try:
                found = self._head(session, here.place, name)
            except (NotFoundError, InvalidNameError):
                return None
        else:
            place = here.place.child(name)
            if place.parts[:1] == (SHARED,):
                self._refresh_shares(session)
            there = session.tree.look(here.folder(), [name])[name]
            found = GatewayNode(place, there) if there is not None else None
        self._note(session, here, {name: found}, asked_s)
        return found

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

    def _note(
        self,
        session: Session,
        folder: GatewayNode,
        names: Mapping[str, GatewayNode | None],
        asked_s: float,
        *,
        is_complete: bool = False,
    ) -> None:
        """Note entries of a folder that the server has just proved."""
        state = _state_of(session, folder)
        record = FolderRecord[_Cached](_key_of(folder), state, asked_s, _cached(names), is_complete)
        self._known.note(folder.place, record, asked_s - FRESH_S)


class _UnknownError(Exception):
    """The cache does not have a node."""


def _cached(names: Mapping[str, GatewayNode | None]) -> dict[str, _Cached | None]:
    return {name: CachedNode.of(one) if one is not None else None for name, one in names.items()}


def must_exist(reached: tuple[GatewayPath, GatewayNode | None]) -> GatewayNode:
    """Return the node of a result of `reach`; raise `NotFoundError` if it has none."""
    place, node = reached
    if node is None:
        raise NotFoundError(f"There is no '{place}'.")
    return node


def _walk(
    top: GatewayNode,
    place: GatewayPath,
    below_of: Callable[[GatewayNode, str], GatewayNode | None],
    led_to: Callable[[TreeNode, GatewayPath], GatewayPath],
    follow: bool,  # noqa: FBT001 - passed on as it came
) -> tuple[GatewayPath, GatewayNode | None]:
    """Follow a path from the top; see `PathLookup.reach`."""
    here, left, links = top, deque(place.parts), 0
    while left:
        name = left.popleft()
        below = below_of(here, name)
        if below is None:
            if left:
                raise NotFoundError(f"There is no '{here.place.child(name)}'.")
            return here.place.child(name), None
        if below.found is not None and below.kind == "symlink" and (left or follow):
            links += 1
            if links > _MOST_LINKS:
                raise NotFoundError(f"'{place}' leads through too many symbolic links.")
            left = deque((*led_to(below.found, here.place).parts, *left))
            here = top
            continue
        if left and below.kind != "folder":
            raise NotFoundError(f"'{below.place}' is not a folder.")
        here = below
    return here.place, here


def _key_of(folder: GatewayNode) -> KeyedNode | None:
    return folder.found.keyed if folder.found is not None else None


def _state_of(session: Session, folder: GatewayNode) -> Hash | None:
    """Return the state that the last answer about a folder has shown.

    What other users share has none here: whether its authors still count is asked again each time.
    """
    cache, keyed = session.tree.cache, _key_of(folder)
    if cache is None or keyed is None or folder.place.parts[:1] == (SHARED,):
        return None
    view = cache.view(keyed.node, [])
    return view.state.hash if view is not None else None


def _unknown_target(_link: TreeNode, _folder: GatewayPath) -> GatewayPath:
    raise _UnknownError


def _led_to(session: Session, link: TreeNode, folder: GatewayPath) -> GatewayPath:
    try:
        return place_of(link_target(session, link), folder)
    except InvalidNameError:
        raise NotFoundError(f"The symbolic link '{link.path}' has no valid target.") from None
