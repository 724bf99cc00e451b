"""A sealed tree as a file system for one client: paths and open files.

This module does not depend on SSH. Any thread of the client may call it; lookups and changes use
the one worker that owns the tree. The client sees the file that it writes at once; all others see
it after it was published as a version.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from fsclient.gateway.attributes import FileAttributes, facts_of, facts_of_writing
from fsclient.gateway.backend import Backend
from fsclient.gateway.fetching import link_target
from fsclient.gateway.handles import Handle, ReadHandle, WriteHandle
from fsclient.gateway.lookup import GatewayNode
from fsclient.gateway.open_files import OpenFiles, describe, wishes
from fsclient.gateway.paths import GatewayPath
from fsclient.session.session import Session
from fskit.file_names import Spellings
from fskit.sftp.codes import OpenFlag
from fskit.sftp.packets import Attributes
from fsproto.errors import ConflictError, ExistsError, NotFoundError
from fsproto.messages.account import GetStatus
from fsproto.messages.account import Status as AccountStatus


class Filesystem:
    """The file system of one client."""

    def __init__(self, house: Backend) -> None:
        self._house = house
        self._spellings = Spellings(house.written)
        self.opened = OpenFiles(house, self._spellings)

    # --- looking

    def facts(self, place: GatewayPath, *, follow: bool = True) -> FileAttributes:
        """Return the attributes of a path; raise `NotFoundError` if it does not exist."""
        writing = self.opened.written_at(place)
        if writing is None:
            node = self._house.find(place, follow=follow)
            writing = self.opened.written_at(node.place)  # the path may be a link to it
            if writing is None:
                self._spellings.use(place.spelled)
                return facts_of(node)
        self._spellings.use(place.spelled)
        return facts_of_writing(writing)

    def facts_of(self, handle: Handle) -> FileAttributes:
        """Return the attributes of an open file or of a folder that is being listed."""
        match handle:
            case WriteHandle():
                return facts_of_writing(handle.writing)
            case ReadHandle():
                return handle.facts
        return self.facts(handle.place)

    def canonical(self, place: GatewayPath) -> GatewayPath:
        """Return a path with its links resolved, as far as the path exists.

        Without links on it, the path keeps the client's spelling.
        """
        with suppress(NotFoundError):
            at, _ = self._house.reach(place, follow=True)
            return place if at == place else at
        return place

    def listing(self, place: GatewayPath) -> list[tuple[str, FileAttributes]]:
        """Return a folder's entries, last name first; raise `NotFoundError` if it is missing.

        Each has the name by which the client knows it.
        """

        def look(session: Session) -> tuple[GatewayPath, list[GatewayNode]]:
            folder = self._house.walker.find(session, place, follow=True)
            if folder.kind != "folder":
                raise NotFoundError(f"'{place}' is not a folder.")
            return folder.place, self._house.walker.inside(session, folder)

        at, nodes = self._house.look(look)
        found = {node.place.name: facts_of(node) for node in nodes}
        found |= {one.place.name: facts_of_writing(one) for one in self.opened.written_in(at)}
        self._spellings.use(place.spelled)
        shown = {self._spellings.show((*place.parts, name)): one for name, one in found.items()}
        return sorted(shown.items(), reverse=True)

    def link_target(self, place: GatewayPath) -> str:
        """Return the target of a symbolic link."""

        def look(session: Session) -> str:
            node = self._house.walker.find(session, place, follow=False)
            if node.found is None or node.kind != "symlink":
                raise ConflictError(f"'{place}' is not a symbolic link.")
            return link_target(session, node.found)

        return self._house.look(look)

    def account(self) -> AccountStatus:
        """Return the status of the user's account from the server."""

        def ask(session: Session) -> AccountStatus:
            return session.connection.call(GetStatus(), AccountStatus)

        return self._house.look(lambda s: s.retry.run(partial(ask, s)))

    @property
    def read_only(self) -> bool:
        """Return whether the gateway is read-only."""
        return self._house.read_only

    # --- changing

    def make_folder(self, place: GatewayPath) -> None:
        """Make a folder."""
        self.opened.settle(place)
        try:
            self._house.change(partial(self._house.changer.make_folder, place=place))
        except ExistsError:
            self._spellings.use(place.spelled, written=True)  # a mirror writes into it all the same
            raise
        self._spellings.use(place.spelled, written=True)

    def make_link(self, place: GatewayPath, target: bytes) -> None:
        """Make a symbolic link."""
        self.opened.settle(place)
        self._house.change(partial(self._house.changer.make_link, place=place, target=target))
        self._spellings.use(place.spelled, written=True)

    def remove(self, place: GatewayPath, *, folder: bool = False) -> None:
        """Remove a file or an empty folder; one with a file that is being written is not empty."""
        self._house.must_be_writable()
        self._must_know(place)
        self.opened.settle(place)
        if folder and self.opened.written_in(place):
            raise ConflictError(f"The folder '{place}' is not empty.")
        writing = self.opened.written_at(place)
        if writing is not None and folder:
            raise ConflictError(f"'{place}' is a file, not a folder.")
        if writing is None or writing.base is not None:
            self._house.change(partial(self._house.changer.remove, place=place, folder=folder))
        self.opened.forget(place)  # not earlier: a removal that fails loses no written data
        self._spellings.forget(place.parts)

    def rename(self, old: GatewayPath, new: GatewayPath, *, replacing: bool) -> None:
        """Move a file or folder; an open file is published at its new path."""
        self._house.must_be_writable()
        self._must_know(old)
        self.opened.settle(old)
        self.opened.settle(new)
        if self.opened.written_below(old):
            raise ConflictError(f"A file in '{old}' is being written.")
        if old != new and self.opened.written_at(new) is not None:
            raise ConflictError(f"'{new}' is being written.")
        writing = self.opened.written_at(old)
        if (
            writing is not None and writing.base is None
        ):  # the file does not exist on the server yet: create it now
            self.opened.publish(writing)
        move = self._house.changer.rename
        self._house.change(partial(move, old=old, new=new, replacing=replacing))
        if writing is not None:
            base = self._house.find(new, follow=False).found
            self.opened.moved(writing, new, base)
        self._spellings.move(old.parts, new.parts)
        self._spellings.use(new.spelled, written=True)

    def set_attributes(
        self, place: GatewayPath, wanted: Attributes, *, follow: bool = True
    ) -> None:
        """Set time and permissions as far as fsd stores them, and a file's size."""
        self._house.must_be_writable()
        if follow:
            place = self.canonical(place)
        self.opened.settle(place)
        writing = self.opened.written_at(place)
        if writing is not None:
            describe(writing, wanted)
        elif wanted.size is not None:
            handle = self.opened.open(place, OpenFlag.WRITE)
            self.set_attributes_of(handle, wanted)
            self.opened.close(handle)
        else:
            mtime_ns, mode = wishes(wanted)
            self._house.describe(place, mtime_ns, mode)

    def set_attributes_of(self, handle: Handle, wanted: Attributes) -> None:
        """Set time, permissions and size of an open file."""
        if isinstance(handle, WriteHandle) and handle.writes:
            describe(handle.writing, wanted)
        else:
            self.set_attributes(handle.place, wanted)

    def _must_know(self, place: GatewayPath) -> None:
        """Raise `NotFoundError` if the client knows the file at a path under another spelling."""
        if not self._spellings.knows(place.spelled):
            raise NotFoundError(
                f"There is no '{place}' under this spelling: its accents are written differently.",
                hint="List the folder again.",
            )
