"""A sealed tree as a file system for one client: paths and open files.

This module does not depend on SSH. Any thread of the client may call it; lookups and changes use
the one worker that owns the tree. The client sees the file that it writes at once; all others see
it after it was published as a version.
"""

from __future__ import annotations

from functools import partial

from fsclient.gateway.attributes import (
    FileAttributes,
    describe,
    facts_of,
    facts_of_writing,
    wishes,
)
from fsclient.gateway.backend import Backend
from fsclient.gateway.fetching import link_target
from fsclient.gateway.handles import Handle, ReadHandle, WriteHandle
from fsclient.gateway.lookup import must_exist
from fsclient.gateway.nodes import GatewayNode
from fsclient.gateway.open_files import OpenFiles
from fsclient.gateway.open_write import OpenWrite
from fsclient.gateway.paths import GatewayPath
from fsclient.session.session import Session
from fskit.file_names import Spellings
from fskit.sftp.codes import OpenFlag
from fskit.sftp.packets import Attributes
from fskit.sftp.status import InvalidRequestError
from fsproto.errors import ConflictError, ExistsError, NotFoundError
from fsproto.messages.account import GetStatus
from fsproto.messages.account import Status as AccountStatus


class Filesystem:
    """The file system of one client."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._spellings = Spellings(backend.written)
        self.opened = OpenFiles(backend, self._spellings)

    # --- looking

    def facts(self, place: GatewayPath, *, follow: bool = True) -> FileAttributes:
        """Return the attributes of a path; raise `NotFoundError` if it does not exist."""
        writing = self.opened.places.written_at(place)
        if writing is None:
            at, node = self._backend.reach(place, follow=follow)
            writing = self.opened.places.written_at(at)  # the path may lead through links to it
            if writing is None:
                self._spellings.use(place.spelled)
                return facts_of(must_exist((place, node)))
        self._spellings.use(place.spelled)
        return facts_of_writing(writing)

    def facts_of(self, handle: Handle) -> FileAttributes:
        """Return the attributes of an open file or of a folder that is being listed."""
        match handle:
            case WriteHandle():
                return facts_of_writing(handle.writing)
            case ReadHandle(content=OpenWrite() as writing):
                return facts_of_writing(writing)
            case ReadHandle():
                return handle.facts
        return self.facts(handle.place)

    def canonical(self, place: GatewayPath) -> GatewayPath:
        """Return a path with its links resolved; `NotFoundError` if its folder does not exist.

        Without links on it, the path keeps the client's spelling.
        """
        at, _ = self._backend.reach(place, follow=True)
        return place if at == place else at

    def _entry(self, place: GatewayPath) -> GatewayPath:
        """Return the path of an entry: links are resolved in its folder's path, not at its end.

        Every request that changes an entry, not what is in it, uses this path.
        """
        folder = self._backend.find(place.parent, follow=True)
        if folder.kind != "folder":
            raise NotFoundError(f"'{place.parent}' is not a folder.")
        at = folder.place
        return place if at == place.parent or not place.parts else at.child(place.name)

    def listing(self, place: GatewayPath) -> list[tuple[str, FileAttributes]]:
        """Return a folder's entries, last name first; raise `NotFoundError` if it is missing.

        Each has the name by which the client knows it.
        """

        def look(session: Session) -> tuple[GatewayPath, list[GatewayNode]]:
            folder = self._backend.walker.find(session, place, follow=True)
            if folder.kind != "folder":
                raise NotFoundError(f"'{place}' is not a folder.")
            return folder.place, self._backend.walker.inside(session, folder)

        at, nodes = self._backend.look(look)
        found = {node.place.name: facts_of(node) for node in nodes}
        found |= {
            one.place.name: facts_of_writing(one) for one in self.opened.places.written_in(at)
        }
        self._spellings.use(place.spelled)
        shown = {self._spellings.show((*place.parts, name)): one for name, one in found.items()}
        return sorted(shown.items(), reverse=True)

    def link_target(self, place: GatewayPath) -> str:
        """Return the target of a symbolic link."""

        def look(session: Session) -> str:
            at, node = self._backend.walker.reach(session, place, follow=False)
            if self.opened.places.written_at(at) is None:
                found = must_exist((at, node)).found
                if found is not None and found.kind == "symlink":
                    return link_target(session, found)
            raise InvalidRequestError(f"'{place}' is not a symbolic link.")

        return self._backend.look(look)

    def account(self) -> AccountStatus:
        """Return the status of the user's account from the server."""

        def ask(session: Session) -> AccountStatus:
            return session.connection.call(GetStatus(), AccountStatus)

        return self._backend.look(lambda s: s.retry.run(partial(ask, s)))

    @property
    def read_only(self) -> bool:
        """Return whether the gateway is read-only."""
        return self._backend.read_only

    # --- changing

    def make_folder(self, place: GatewayPath) -> None:
        """Make a folder."""
        at = self._free(place)
        try:
            self._backend.change(partial(self._backend.changer.make_folder, place=at))
        except ExistsError:
            self._spellings.use(place.spelled, written=True)  # a mirror writes into it all the same
            raise
        self._spellings.use(place.spelled, written=True)

    def make_link(self, place: GatewayPath, target: bytes) -> None:
        """Make a symbolic link."""
        at = self._free(place)
        self._backend.change(partial(self._backend.changer.make_link, place=at, target=target))
        self._spellings.use(place.spelled, written=True)

    def _free(self, place: GatewayPath) -> GatewayPath:
        """Return the path for a new entry; `ExistsError` if this client writes a file there."""
        self._backend.must_be_writable()
        at = self._entry(place)
        self.opened.places.settle(at)
        if self.opened.places.written_at(at) is not None:
            raise ExistsError(f"'{place}' exists already.")
        return at

    def remove(self, place: GatewayPath, *, folder: bool = False) -> None:
        """Remove a file or an empty folder; one with a file that is being written is not empty."""
        self._backend.must_be_writable()
        self._must_know(place)
        at = self._entry(place)
        self.opened.places.settle(at)
        if folder and self.opened.places.written_in(at):
            raise ConflictError(f"The folder '{place}' is not empty.")
        writing = self.opened.places.written_at(at)
        if writing is not None and folder:
            raise NotFoundError(f"'{place}' is a file, not a folder.")
        if writing is None or writing.base is not None:
            self._backend.change(partial(self._backend.changer.remove, place=at, folder=folder))
        self.opened.places.unlinked(at)  # not earlier: a removal that fails loses no written data
        self._spellings.forget(at.parts)

    def rename(self, old: GatewayPath, new: GatewayPath, *, replacing: bool) -> None:
        """Move a file or folder, and the open files in it; see `Edits.rename` for the rules.

        A new file that is still being written is stored at its new path when it is closed.
        """
        self._backend.must_be_writable()
        self._must_know(old)
        was, now = self._entry(old), self._entry(new)
        self.opened.places.settle(was)
        self.opened.places.settle(now)
        writing = self.opened.places.written_at(was)
        if writing is not None and writing.base is None:
            self.opened.rename_new(writing, now, replacing=replacing)
        else:
            self._check_written_at(was, now, replacing=replacing)
            move = self._backend.changer.rename
            self._backend.change(partial(move, old=was, new=now, replacing=replacing))
        if was != now:
            self.opened.places.moved(was, now)
            if writing is not None and writing.base is not None:
                writing.base = self._backend.find(now, follow=False).found
        self._spellings.move(was.parts, now.parts)
        self._spellings.use(new.spelled, written=True)

    def _check_written_at(self, old: GatewayPath, new: GatewayPath, *, replacing: bool) -> None:
        """Refuse to rename onto a file that only this client sees, as onto any other file."""
        is_folder = self._backend.find(old, follow=False).kind == "folder"
        if not replacing and self.opened.places.has_new and self._leads_to_written(new):
            raise ExistsError(f"'{new}' exists already.")
        if is_folder and new.within(old):
            return  # `Edits.rename` refuses to move a folder into itself
        if self.opened.places.written_in(new):
            raise ConflictError(f"The folder '{new}' is not empty.")
        writing = self.opened.places.written_at(new)
        if is_folder and writing is not None and writing.base is None:
            raise NotFoundError(f"'{new}' is a file, not a folder.")

    def _leads_to_written(self, place: GatewayPath) -> bool:
        """Return whether a path is, or leads through links to, a file that is being written."""
        try:
            at, _ = self._backend.reach(place, follow=True)
        except NotFoundError:
            return False
        return self.opened.places.written_at(at) is not None

    def set_attributes(
        self, place: GatewayPath, wanted: Attributes, *, follow: bool = True
    ) -> None:
        """Set time and permissions as far as fsd stores them, and a file's size."""
        self._backend.must_be_writable()
        at = self.canonical(place) if follow else self._entry(place)
        if wanted.size is not None and not follow:
            raise InvalidRequestError("The size of a symbolic link cannot be set.")
        self.opened.places.settle(at)
        writing = self.opened.places.written_at(at)
        if writing is not None:
            describe(writing, wanted)
        elif wanted.size is not None:
            handle = self.opened.open(at, OpenFlag.WRITE)
            self.set_attributes_of(handle, wanted)
            self.opened.close(handle)
        else:
            mtime_ns, mode = wishes(wanted)
            self._backend.describe(at, mtime_ns, mode)
            self.opened.described(at, mtime_ns, mode)

    def set_attributes_of(self, handle: Handle, wanted: Attributes) -> None:
        """Set time, permissions and size of an open file, wherever it is now."""
        match handle:
            case WriteHandle():
                describe(handle.writing, wanted)
            case ReadHandle():
                self._backend.must_be_writable()
                if wanted.size is not None:
                    raise InvalidRequestError("The file was not opened for writing.")
                self.opened.describe_read(handle, wanted)
            case _:
                self.set_attributes(handle.place, wanted)

    def _must_know(self, place: GatewayPath) -> None:
        """Raise `NotFoundError` if the client knows the file at a path under another spelling."""
        if not self._spellings.knows(place.spelled):
            raise NotFoundError(
                f"There is no '{place}' under this spelling: its accents are written differently.",
                hint="List the folder again.",
            )
