"""The objects that all clients of one gateway share: sessions, path lookup, edits, publisher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from fsclient.gateway.edits import Edits, NewMetadata
from fsclient.gateway.lookup import FRESH_S, PathLookup, must_exist
from fsclient.gateway.nodes import GatewayNode
from fsclient.gateway.paths import GatewayPath
from fsclient.gateway.publish import Publisher
from fsclient.gateway.read_ahead import ReadAhead
from fsclient.gateway.session_pool import SessionPool
from fsclient.gateway.staging import StagingArea
from fsclient.session.session import Session
from fsclient.ui import Ui
from fskit.file_names import Spellings
from fsproto.errors import ConflictError, FsError, NotAllowedError, SecurityError
from fsproto.sealed.manifest import Mode
from fsproto.types import NodeId

T = TypeVar("T")


@dataclass(frozen=True)
class Backend:
    """The objects that all clients of one gateway share."""

    sessions: SessionPool
    walker: PathLookup
    changer: Edits
    publisher: Publisher
    staging: StagingArea
    ahead: ReadAhead
    read_only: bool
    ui: Ui
    written: Spellings = field(default_factory=Spellings)
    """The names as clients wrote them, on any connection."""

    @classmethod
    def build(cls, sessions: SessionPool, staging: Path, ui: Ui, *, read_only: bool) -> Backend:
        """Build the backend from sessions and a staging folder for files that are being written."""
        walker = PathLookup(ui.complain)
        changer, publisher = Edits(walker, ui), Publisher(sessions, walker, ui)
        area, ahead = StagingArea(staging), ReadAhead(walker)
        return cls(sessions, walker, changer, publisher, area, ahead, read_only, ui)

    def look(self, work: Callable[[Session], T]) -> T:
        """Read from the tree; retry once if the cached path lookup was out of date."""
        try:
            return self.sessions.tree.do(work)
        except (SecurityError, ConflictError):
            self._forget()
            return self.sessions.tree.do(work)

    def reach(
        self, place: GatewayPath, *, follow: bool, within_s: float = FRESH_S
    ) -> tuple[GatewayPath, GatewayNode | None]:
        """Return a path with its links resolved, and the node there, if it exists.

        Asks the server if the node was not confirmed within the last `within_s` seconds. Raises
        `NotFoundError` if its parent folder does not exist either.
        """
        known = self.walker.known(place, follow=follow, within_s=within_s)
        if known is not None:
            return known
        return self.look(lambda session: self.walker.reach(session, place, follow=follow))

    def find(self, place: GatewayPath, *, follow: bool) -> GatewayNode:
        """Return the node at a path; raise `NotFoundError` if there is none."""
        return must_exist(self.reach(place, follow=follow))

    def change(self, work: Callable[[Session], None]) -> None:
        """Apply a change, unless the gateway is read-only."""
        self.must_be_writable()
        try:
            self.sessions.tree.do(work)
        except FsError:
            self._forget()
            raise

    def describe(
        self,
        place: GatewayPath,
        mtime_ns: int | None,
        mode: Mode | None,
        *,
        node: NodeId | None = None,
    ) -> None:
        """Set the time of a file or folder, and the mode of a file; a link is not followed.

        With `node`, raise `NotFoundError` if another node is there now.
        """
        self.must_be_writable()
        try:
            self.publisher.commits.do(NewMetadata(self.walker, place, mtime_ns, mode, node))
        except FsError:
            self._forget()
            raise

    def must_be_writable(self) -> None:
        """Raise `NotAllowedError` if the gateway is read-only."""
        if self.read_only:
            raise NotAllowedError("This gateway was started read-only.")

    def _forget(self) -> None:
        self.sessions.tree.do(lambda _: self.walker.forget_all())
