"""The objects that all clients of one gateway share: sessions, path lookup, edits, publisher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from fsclient.gateway.edits import Edits
from fsclient.gateway.lookup import PathLookup
from fsclient.gateway.publish import Publisher
from fsclient.gateway.session_pool import SessionPool
from fsclient.session.session import Session
from fsclient.ui import Ui
from fskit.file_names import Spellings
from fsproto.errors import ConflictError, FsError, NotAllowedError, SecurityError

T = TypeVar("T")


@dataclass(frozen=True)
class Backend:
    """The objects that all clients of one gateway share."""

    desks: SessionPool
    walker: PathLookup
    changer: Edits
    publisher: Publisher
    staging: Path
    read_only: bool
    ui: Ui
    written: Spellings = field(default_factory=Spellings)
    """The names as clients wrote them, on any connection."""

    @classmethod
    def build(cls, desks: SessionPool, staging: Path, ui: Ui, *, read_only: bool) -> Backend:
        """Build the backend from sessions and a staging folder for files that are being written."""
        walker = PathLookup(ui.complain)
        changer, publisher = Edits(walker, ui), Publisher(desks, walker, ui)
        return cls(desks, walker, changer, publisher, staging, read_only, ui)

    def look(self, work: Callable[[Session], T]) -> T:
        """Read from the tree; retry once if the cached path lookup was out of date."""
        try:
            return self.desks.tree.do(work)
        except (SecurityError, ConflictError):
            self._forget()
            return self.desks.tree.do(work)

    def change(self, work: Callable[[Session], None]) -> None:
        """Apply a change, unless the gateway is read-only."""
        self.must_be_writable()
        try:
            self.desks.tree.do(work)
        except FsError:
            self._forget()
            raise

    def must_be_writable(self) -> None:
        """Raise `NotAllowedError` if the gateway is read-only."""
        if self.read_only:
            raise NotAllowedError("This gateway was started read-only.")

    def _forget(self) -> None:
        self.desks.tree.do(lambda _: self.walker.forget_all())
