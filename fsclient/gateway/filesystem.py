"""A sealed tree as a file system for one client: paths, files open for reading and writing.

Nothing of SSH is known here. Any thread of the client's may call; looking and changing goes through
the one desk that has the tree. A file that the client writes is seen by it at once, by everybody
else when it has become a version.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from fsclient.gateway.changing import Changer
from fsclient.gateway.codes import Open
from fsclient.gateway.desks import Desks
from fsclient.gateway.facts import Facts, facts_of, facts_of_writing, mode_for
from fsclient.gateway.fetching import contents_of, link_target
from fsclient.gateway.handles import Handle, ReadHandle, WriteHandle
from fsclient.gateway.packets import Attributes
from fsclient.gateway.paths import Place
from fsclient.gateway.publishing import Publisher
from fsclient.gateway.reading import Reading
from fsclient.gateway.staging import Staged
from fsclient.gateway.walking import Node, Walker
from fsclient.gateway.writing import Writing
from fsclient.session import Session
from fsclient.tree import Located
from fsclient.ui import Ui
from fsproto.errors import (
    ConflictError,
    ExistsError,
    FsError,
    NotAllowedError,
    NotFoundError,
    SecurityError,
)
from fsproto.messages.account import GetStatus
from fsproto.messages.account import Status as AccountStatus
from fsproto.sealed.manifest import Mode

T = TypeVar("T")

_NS = 1_000_000_000


@dataclass(frozen=True)
class House:
    """What all clients of one gateway share."""

    desks: Desks
    walker: Walker
    changer: Changer
    publisher: Publisher
    staging: Path
    read_only: bool
    ui: Ui

    @classmethod
    def build(cls, desks: Desks, staging: Path, ui: Ui, *, read_only: bool) -> House:
        """Build it on sessions, and a folder for what is being written."""
        walker = Walker()
        changer, publisher = Changer(walker, ui), Publisher(desks, walker, ui)
        return cls(desks, walker, changer, publisher, staging, read_only, ui)


class Filesystem:
    """What one client sees and does."""

    def __init__(self, house: House) -> None:
        """Begin with nothing open."""
        self._house = house
        self._writings: dict[Place, Writing] = {}
        self._change = threading.Condition()

    # --- looking

    def facts(self, place: Place, *, follow: bool = True) -> Facts:
        """Return what is at a place; `NotFoundError` if nothing is."""
        with self._change:
            writing = self._writings.get(place)
        if writing is not None:
            return facts_of_writing(writing)
        node = self._look(lambda session: self._house.walker.find(session, place, follow=follow))
        with self._change:  # a link may have led to what is being written
            writing = self._writings.get(node.place)
        return facts_of_writing(writing) if writing else facts_of(node)

    def canonical(self, place: Place) -> Place:
        """Return a place with the links on its way resolved, as far as there is anything."""
        with suppress(NotFoundError):
            return self._look(lambda s: self._house.walker.reach(s, place, follow=True))[0]
        return place

    def listing(self, place: Place) -> list[tuple[str, Facts]]:
        """Return everything in a folder, by name; `NotFoundError` if there is none."""

        def look(session: Session) -> tuple[Place, list[Node]]:
            folder = self._house.walker.find(session, place, follow=True)
            if folder.kind != "folder":
                raise NotFoundError(f"'{place}' is not a folder.")
            return folder.place, self._house.walker.inside(session, folder)

        at, nodes = self._look(look)
        found = {node.place.name: facts_of(node) for node in nodes}
        with self._change:
            written = [one for one in self._writings.values() if one.place.parent == at]
        found |= {one.place.name: facts_of_writing(one) for one in written if not one.orphaned}
        return sorted(found.items())

    def link_target(self, place: Place) -> str:
        """Return where a symbolic link leads."""

        def look(session: Session) -> str:
            node = self._house.walker.find(session, place, follow=False)
            if node.found is None or node.kind != "symlink":
                raise ConflictError(f"'{place}' is not a symbolic link.")
            return link_target(session, node.found)

        return self._look(look)

    def stored_bytes(self) -> int:
        """Return how many sealed bytes the server keeps for oneself."""
        ask = GetStatus()
        status = self._look(
            lambda s: s.persistence.run(lambda: s.connection.call(ask, AccountStatus))
        )
        return status.stored_bytes

    @property
    def read_only(self) -> bool:
        """Tell whether nothing can be changed."""
        return self._house.read_only

    # --- changing

    def make_folder(self, place: Place) -> None:
        """Make a folder."""
        self._change_at(partial(self._house.changer.make_folder, place=place), place)

    def make_link(self, place: Place, target: bytes) -> None:
        """Make a symbolic link."""
        self._change_at(partial(self._house.changer.make_link, place=place, target=target), place)

    def remove(self, place: Place, *, folder: bool = False) -> None:
        """Remove a file; or a folder that is empty, one in which something is written being not."""
        self._must_be_writable()
        self._settle(place)
        with self._change:
            if folder and any(one.place.parent == place for one in self._writings.values()):
                raise ConflictError(f"The folder '{place}' is not empty.")
            writing = self._writings.pop(place, None)
        if writing is not None:
            writing.orphaned = True
            writing.give_up_early()
            if writing.base is None:
                return
        self._change_at(partial(self._house.changer.remove, place=place, folder=folder), place)

    def rename(self, old: Place, new: Place, *, replacing: bool) -> None:
        """Move something; what is open under it is written at its new place."""
        self._must_be_writable()
        self._settle(old)
        self._settle(new)
        with self._change:
            writing = self._writings.get(old)
            if any(one != old and one.within(old) for one in self._writings):
                raise ConflictError(f"Something in '{old}' is being written.")
            if new in self._writings:
                raise ConflictError(f"'{new}' is being written.")
        if writing is not None and writing.base is None:  # it is not there yet: it is made now
            self._house.publisher.publish(writing)
        rename = self._house.changer.rename
        self._change_at(partial(rename, old=old, new=new, replacing=replacing), old, new)
        if writing is not None:
            with self._change:
                self._writings[new] = self._writings.pop(old)
                writing.place = new
            self._rebase(writing)

    def _rebase(self, writing: Writing) -> None:
        find = self._house.walker.find
        writing.base = self._look(lambda s: find(s, writing.place, follow=False)).found

    def set_attributes(self, place: Place, wanted: Attributes, *, follow: bool = True) -> None:
        """Set time and rights of a file or folder, as far as any are kept, and a file's size."""
        self._must_be_writable()
        if follow:
            place = self.canonical(place)
        self._settle(place)
        with self._change:
            writing = self._writings.get(place)
        if writing is not None:
            _describe(writing, wanted)
            return
        if wanted.size is not None:
            handle = self.open(place, Open.WRITE)
            self.set_attributes_of(handle, wanted)
            self.close(handle)
            return
        mtime_ns, mode = _wishes(wanted)
        if mtime_ns is None and mode is None:
            self.facts(place, follow=False)
            return
        describe = self._house.changer.describe
        self._change_at(partial(describe, place=place, mtime_ns=mtime_ns, mode=mode), place)

    # --- files

    def open(
        self, place: Place, flags: Open, wanted: Attributes | None = None
    ) -> ReadHandle | WriteHandle:
        """Open a file; `NotFoundError` if it is not there and is not to be made.

        `wanted` is what it is to be like if it is made.
        """
        place = self.canonical(place)
        self._settle(place)
        writes = bool(flags & (Open.WRITE | Open.APPEND))
        if writes or flags & (Open.CREATE | Open.TRUNCATE):
            self._must_be_writable()
            if place.is_fixed:
                raise NotAllowedError(f"'{place}' is a folder.")
        with self._change:
            writing = self._writings.get(place)
            if writing is not None:
                if flags & Open.EXCLUSIVE and flags & Open.CREATE:
                    raise ExistsError(f"'{place}' exists already.")
                return self._join(writing, flags)
        if not writes:
            return self._open_to_read(place)
        handle = self._open_to_write(place, flags)
        if wanted is not None and wanted.permissions is not None and handle.writing.base is None:
            handle.writing.mode = mode_for(wanted.permissions)
        return handle

    def _open_to_read(self, place: Place) -> ReadHandle:
        def look(session: Session) -> ReadHandle:
            node = self._house.walker.find(session, place, follow=True)
            contents = contents_of(session, _file_at(node))
            return ReadHandle(place, Reading(contents, self._house.desks), facts_of(node))

        return self._look(look)

    def _open_to_write(self, place: Place, flags: Open) -> WriteHandle:
        def look(session: Session) -> tuple[Located | None, Reading | None]:
            self._house.walker.forget(place)
            _, node = self._house.walker.reach(session, place, follow=True)
            if node is None:
                if not flags & Open.CREATE:
                    raise NotFoundError(f"There is no '{place}'.")
                self._house.walker.find(session, place.parent, follow=True).folder()
                _must_take_files(place)
                return None, None
            if flags & Open.CREATE and flags & Open.EXCLUSIVE:
                raise ExistsError(f"'{place}' exists already.")
            found = _file_at(node)
            if flags & Open.TRUNCATE:
                return found, None
            return found, Reading(contents_of(session, found), self._house.desks)

        base, reading = self._look(look)
        staged = Staged(
            self._house.staging,
            size=reading.size if reading else 0,
            base=reading.read if reading else None,
        )
        writing = Writing(place, base, staged, fresh=reading is None, under=reading)
        with self._change:
            known = self._writings.setdefault(place, writing)  # another may have been quicker
            return self._join(known, flags)

    def _join(self, writing: Writing, flags: Open) -> WriteHandle:
        writes = bool(flags & (Open.WRITE | Open.APPEND))
        reads = bool(flags & Open.READ)
        if writes:
            writing.writers += 1
            if flags & Open.TRUNCATE:
                writing.truncate(0)
        else:
            writing.readers += 1
        appends = bool(flags & Open.APPEND)
        return WriteHandle(writing.place, writing, reads=reads, writes=writes, appends=appends)

    def facts_of(self, handle: Handle) -> Facts:
        """Return what is told of an open file, or of a folder that is listed."""
        match handle:
            case WriteHandle():
                return facts_of_writing(handle.writing)
            case ReadHandle():
                return handle.facts
        return self.facts(handle.place)

    def set_attributes_of(self, handle: Handle, wanted: Attributes) -> None:
        """Set time, rights and size of what is open."""
        if isinstance(handle, WriteHandle) and handle.writes:
            _describe(handle.writing, wanted)
        else:
            self.set_attributes(handle.place, wanted)

    def read(self, handle: Handle, offset: int, length: int) -> bytes:
        """Return a piece of an open file; empty behind its end."""
        match handle:
            case ReadHandle():
                return handle.reading.read(offset, length)
            case WriteHandle(reads=True):
                return handle.writing.read(offset, length)
        raise NotAllowedError("That was not opened for reading.")

    def write(self, handle: Handle, offset: int, data: bytes | memoryview) -> None:
        """Write a piece of an open file."""
        if not isinstance(handle, WriteHandle):
            raise NotAllowedError("That was not opened for writing.")
        handle.write(offset, data)
        writing = handle.writing
        if writing.is_early and not writing.orphaned:
            self._house.publisher.begin_early(writing)

    def sync(self, handle: Handle) -> None:
        """Make what was written so far a version, as safe as any; the file stays open."""
        if isinstance(handle, WriteHandle) and handle.writes and not handle.writing.orphaned:
            self._publish(handle.writing)

    def waits_at_close(self, handle: Handle) -> bool:
        """Tell whether closing has more to do than to forget; it then begins with this answer."""
        if not isinstance(handle, WriteHandle) or not handle.writes:
            return False
        with self._change:
            if handle.writing.writers == 1:
                handle.writing.closing = True
        return True

    def close(self, handle: Handle) -> None:
        """Close; what was written becomes a version with the last handle that wrote it."""
        match handle:
            case ReadHandle():
                handle.reading.close()
            case WriteHandle():
                self._leave(handle, publish=True)

    def abandon(self, handles: list[Handle]) -> None:
        """Forget what was open, and what was written: nobody has said that it is whole."""
        for handle in handles:
            if isinstance(handle, ReadHandle):
                handle.reading.close()
            elif isinstance(handle, WriteHandle):
                handle.writing.orphaned = True
                self._leave(handle, publish=False)

    def _leave(self, handle: WriteHandle, *, publish: bool) -> None:
        writing = handle.writing
        with self._change:
            if handle.writes:
                writing.writers -= 1
            else:
                writing.readers -= 1
            last_writer = handle.writes and not writing.writers
            writing.closing = writing.closing or last_writer
        try:
            if last_writer and publish and not writing.orphaned:
                self._publish(writing)
        finally:
            with self._change:
                if last_writer and self._writings.get(writing.place) is writing:
                    del self._writings[writing.place]
                over = not writing.writers and not writing.readers
                self._change.notify_all()
            if over:
                writing.close()

    def _publish(self, writing: Writing) -> None:
        if writing.dirty:
            self._house.publisher.publish(writing)
        elif writing.described:
            self._house.publisher.describe(writing)

    # --- inside

    def _must_be_writable(self) -> None:
        if self._house.read_only:
            raise NotAllowedError("This gateway was started read-only.")

    def _settle(self, place: Place) -> None:
        """Wait until what was closed at a place, or under it, has become a version or has not."""
        with self._change:
            while any(
                one.closing and (one.place.within(place) or place.within(one.place))
                for one in self._writings.values()
            ):
                self._change.wait()

    def _look(self, work: Callable[[Session], T]) -> T:
        """Ask something of the tree, once more if what was known of the way there was too old."""
        try:
            return self._house.desks.tree.do(work)
        except (SecurityError, ConflictError):
            self._house.desks.tree.do(lambda _: self._house.walker.forget_all())
            return self._house.desks.tree.do(work)

    def _change_at(self, work: Callable[[Session], None], *places: Place) -> None:
        self._must_be_writable()
        for place in places:
            self._settle(place)
        try:
            self._house.desks.tree.do(work)
        except FsError:
            self._house.desks.tree.do(lambda _: self._house.walker.forget_all())
            raise


def _file_at(node: Node) -> Located:
    if node.found is None or node.kind != "file":
        raise ConflictError(f"'{node.place}' is a {node.kind}, not a file.")
    return node.found


def _must_take_files(place: Place) -> None:
    if place.parent.is_fixed and place.parent.parts:
        raise NotAllowedError(
            "Only its owner can put something beside what is shared with you.",
            hint="Put it into one of the shared folders, if you may write there.",
        )


def _wishes(wanted: Attributes) -> tuple[int | None, Mode | None]:
    """Return the time and the mode that are wanted; owners and times of access are not kept."""
    mtime_ns = wanted.times[1] * _NS if wanted.times is not None else None
    mode = mode_for(wanted.permissions) if wanted.permissions is not None else None
    return mtime_ns, mode


def _describe(writing: Writing, wanted: Attributes) -> None:
    if wanted.size is not None:
        writing.truncate(wanted.size)
    mtime_ns, mode = _wishes(wanted)
    if mtime_ns is not None or mode is not None:
        writing.describe(mtime_ns, mode)
