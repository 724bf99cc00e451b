"""The open files of one client: read in a fixed version, or staged until they are published."""

from __future__ import annotations

import threading

from fsclient.gateway.attributes import facts_of, mode_for
from fsclient.gateway.backend import Backend
from fsclient.gateway.fetching import contents_of
from fsclient.gateway.handles import Handle, ReadHandle, WriteHandle
from fsclient.gateway.lookup import FRESH_TO_WRITE_S, GatewayNode
from fsclient.gateway.open_write import OpenWrite
from fsclient.gateway.paths import SHARED, GatewayPath
from fsclient.gateway.read_stream import ReadStream
from fsclient.gateway.staging import Staged
from fsclient.session.session import Session
from fsclient.tree.nodes import TreeNode
from fskit.file_names import Spellings
from fskit.sftp.codes import OpenFlag
from fskit.sftp.packets import Attributes
from fsproto.errors import ConflictError, ExistsError, FsError, NotAllowedError, NotFoundError
from fsproto.sealed.manifest import Mode

_NS = 1_000_000_000


class OpenFiles:
    """The open files of one client; any of its threads may call."""

    def __init__(self, house: Backend, spellings: Spellings) -> None:
        """`spellings` records the names that the client opens."""
        self._house = house
        self._spellings = spellings
        self._writings: dict[GatewayPath, OpenWrite] = {}
        self._change = threading.Condition()

    # --- files that are being written

    def written_at(self, place: GatewayPath) -> OpenWrite | None:
        """Return the file that is being written at a path."""
        with self._change:
            return self._writings.get(place)

    def written_in(self, folder: GatewayPath) -> list[OpenWrite]:
        """Return the files that are being written directly in a folder."""
        with self._change:
            return [one for one in self._writings.values() if one.place.parent == folder]

    def written_below(self, folder: GatewayPath) -> bool:
        """Return whether a file is being written in a folder or below it."""
        with self._change:
            return any(one != folder and one.within(folder) for one in self._writings)

    def forget(self, place: GatewayPath) -> OpenWrite | None:
        """Record that a file that is being written was removed; return it."""
        with self._change:
            writing = self._writings.pop(place, None)
        if writing is not None:
            writing.orphaned = True
            writing.give_up_early()
        return writing

    def moved(self, writing: OpenWrite, new: GatewayPath, base: TreeNode | None) -> None:
        """Record that a file that is being written has a new path and the base version `base`."""
        with self._change:
            self._writings.pop(writing.place, None)
            self._writings[new] = writing
            writing.place, writing.base = new, base

    def settle(self, place: GatewayPath) -> None:
        """Wait until closed files at or below a path were published or have failed."""
        with self._change:
            while any(
                one.closing and (one.place.within(place) or place.within(one.place))
                for one in self._writings.values()
            ):
                self._change.wait()

    # --- opening

    def open(
        self, place: GatewayPath, flags: OpenFlag, wanted: Attributes | None = None
    ) -> ReadHandle | WriteHandle:
        """Open a file; raise `NotFoundError` if it does not exist and must not be created.

        `wanted` has the attributes of a new file.
        """
        handle = self._open(place, flags, wanted)
        writes = isinstance(handle, WriteHandle) and handle.writes
        self._spellings.use(place.spelled, written=writes)
        return handle

    def _open(
        self, place: GatewayPath, flags: OpenFlag, wanted: Attributes | None
    ) -> ReadHandle | WriteHandle:
        if flags & OpenFlag.CREATE and flags & OpenFlag.EXCLUSIVE:
            there = self._house.reach(place, follow=False, within_s=FRESH_TO_WRITE_S)[1]
            if there is not None:  # also a link that leads nowhere
                raise ExistsError(f"'{place}' exists already.")
        place = self._led_to(place)
        self.settle(place)
        writes = bool(flags & OpenFlag.WRITE)
        if writes or flags & (OpenFlag.CREATE | OpenFlag.TRUNCATE):
            self._house.must_be_writable()
            if place.is_fixed:
                raise NotAllowedError(f"'{place}' is a folder.")
        with self._change:
            writing = self._writings.get(place)
            if writing is not None:
                if flags & OpenFlag.EXCLUSIVE and flags & OpenFlag.CREATE:
                    raise ExistsError(f"'{place}' exists already.")
                return self._join(writing, flags)
        if not writes:
            self._create(place, flags)
            return self._open_to_read(place)
        handle = self._open_to_write(place, flags)
        if wanted is not None and wanted.permissions is not None and handle.writing.base is None:
            handle.writing.mode = mode_for(wanted.permissions)
        return handle

    def _create(self, place: GatewayPath, flags: OpenFlag) -> None:
        """Create or empty a file that is opened only to be read, as open(2) does."""
        if not flags & (OpenFlag.CREATE | OpenFlag.TRUNCATE):
            return
        node = self._house.reach(place, follow=True, within_s=0)[1]
        if node is None and not flags & OpenFlag.CREATE:
            return
        if node is not None and flags & OpenFlag.CREATE:
            _file_at(node)
            if flags & OpenFlag.EXCLUSIVE:
                raise ExistsError(f"'{place}' exists already.")
        if node is None or flags & OpenFlag.TRUNCATE:
            self._leave(self._open_to_write(place, flags | OpenFlag.WRITE), publish=True)

    def _led_to(self, place: GatewayPath) -> GatewayPath:
        """Return the path of the file to open; a link is followed."""
        if self.written_at(place) is not None:
            return place
        return self._house.reach(place, follow=True)[0]

    def _open_to_read(self, place: GatewayPath) -> ReadHandle:
        def look(session: Session) -> ReadHandle:
            node = self._house.walker.find(session, place, follow=True)
            contents = contents_of(session, _file_at(node))
            return ReadHandle(place, ReadStream(contents, self._house.desks), facts_of(node))

        return self._house.look(look)

    def _open_to_write(self, place: GatewayPath, flags: OpenFlag) -> WriteHandle:
        base, reading = self._base_to_write(place, flags)
        staged = Staged(
            self._house.staging,
            size=reading.size if reading else 0,
            base=reading.read if reading else None,
        )
        writing = OpenWrite(place, base, staged, fresh=reading is None, under=reading)
        with self._change:
            known = self._writings.setdefault(place, writing)  # another thread may have been faster
            return self._join(known, flags)

    def _base_to_write(
        self, place: GatewayPath, flags: OpenFlag
    ) -> tuple[TreeNode | None, ReadStream | None]:
        """Return the version that a client changes, if there is one, and a reader of its content.

        There is no reader if the content is not needed.
        """
        new = flags & OpenFlag.CREATE and flags & OpenFlag.EXCLUSIVE

        def look(session: Session) -> tuple[TreeNode | None, ReadStream | None]:
            self._house.walker.forget(place)
            _, node = self._house.walker.reach(session, place, follow=True)
            if node is None:
                if not flags & OpenFlag.CREATE:
                    raise NotFoundError(f"There is no '{place}'.")
                folder = self._house.walker.find(session, place.parent, follow=True).folder()
                _must_take_files(session, folder, place)
                return None, None
            if new:
                raise ExistsError(f"'{place}' exists already.")
            found = _file_at(node)
            _must_take_files(session, found, place)
            if flags & OpenFlag.TRUNCATE:
                return found, None
            return found, ReadStream(contents_of(session, found), self._house.desks)

        if flags & OpenFlag.CREATE and (flags & OpenFlag.TRUNCATE or new):
            known = self._house.walker.known(place, follow=True, within_s=FRESH_TO_WRITE_S)
            # What others share is left to `look`, which checks that the user may write there.
            if known is not None and known[0].parts[:1] != (SHARED,):
                if known[1] is None:
                    return None, None
                if not new:
                    return _file_at(known[1]), None
        return self._house.look(look)

    def _join(self, writing: OpenWrite, flags: OpenFlag) -> WriteHandle:
        writes = bool(flags & OpenFlag.WRITE)
        reads = bool(flags & OpenFlag.READ)
        if writes:
            writing.writers += 1
            if flags & OpenFlag.TRUNCATE:
                writing.truncate(0)
        else:
            writing.readers += 1
        appends = bool(flags & OpenFlag.APPEND)
        return WriteHandle(writing.place, writing, reads=reads, writes=writes, appends=appends)

    def read(self, handle: Handle, offset: int, length: int) -> bytes:
        """Return bytes of an open file; empty after its end."""
        match handle:
            case ReadHandle():
                return handle.reading.read(offset, length)
            case WriteHandle(reads=True):
                return handle.writing.read(offset, length)
        raise NotAllowedError("The handle was not opened for reading.")

    def write(self, handle: Handle, offset: int, data: bytes | memoryview) -> None:
        """Write bytes to an open file."""
        if not isinstance(handle, WriteHandle):
            raise NotAllowedError("The handle was not opened for writing.")
        writing = handle.writing
        try:
            handle.write(offset, data)
        except NotAllowedError:
            raise
        except FsError as error:
            writing.failed = error
            raise
        if writing.is_early and not writing.orphaned:
            self._house.publisher.begin_early(writing)

    def sync(self, handle: Handle) -> None:
        """Publish the data written so far as a durable version; the file stays open."""
        if isinstance(handle, WriteHandle) and handle.writes and not handle.writing.orphaned:
            self.publish(handle.writing)

    def waits_at_close(self, handle: Handle) -> bool:
        """Return whether the handle writes a file; the last such handle marks it as closing."""
        if not isinstance(handle, WriteHandle) or not handle.writes:
            return False
        with self._change:
            if handle.writing.writers == 1:
                handle.writing.closing = True
        return True

    def close(self, handle: Handle) -> None:
        """Close a handle; closing the last handle that writes a file publishes the file."""
        match handle:
            case ReadHandle():
                handle.reading.close()
            case WriteHandle():
                self._leave(handle, publish=True)

    def abandon(self, handles: list[Handle]) -> None:
        """Discard open handles and their data: without a close, the files may be incomplete."""
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
                self.publish(writing)
        finally:
            with self._change:
                if last_writer and self._writings.get(writing.place) is writing:
                    del self._writings[writing.place]
                over = not writing.writers and not writing.readers
                self._change.notify_all()
            if over:
                writing.close()

    def publish(self, writing: OpenWrite) -> None:
        """Publish a file that is being written; raise if an earlier write to it has failed."""
        if writing.failed is not None:
            raise FsError(
                f"'{writing.place}' was not put: a write to it failed earlier.",
                hint=writing.failed.sentence,
            )
        if writing.dirty:
            self._house.publisher.publish(writing)
        elif writing.described:
            self._house.publisher.describe(writing)


def _file_at(node: GatewayNode) -> TreeNode:
    if node.found is None or node.kind != "file":
        raise ConflictError(f"'{node.place}' is a {node.kind}, not a file.")
    return node.found


def _must_take_files(session: Session, found: TreeNode, place: GatewayPath) -> None:
    """Refuse now what the server would refuse at the close, when programs may ignore errors."""
    if place.parent.is_fixed and place.parent.parts:
        raise NotAllowedError(
            "Only the owner can create files outside the folders that are shared with you.",
            hint="Put the file into a shared folder that you can write to.",
        )
    if found.path.owner is None:
        return
    folder = found if found.is_folder or found.above is None else found.above
    if not session.context.authors.may_write(folder.keyed.node, session.identity.user):
        raise NotAllowedError(
            f"'{found.path.owner}' gave you read access to '{place}', not write access."
        )


def wishes(wanted: Attributes) -> tuple[int | None, Mode | None]:
    """Return the requested time and mode; file owners and access times are not stored."""
    mtime_ns = wanted.times[1] * _NS if wanted.times is not None else None
    mode = mode_for(wanted.permissions) if wanted.permissions is not None else None
    return mtime_ns, mode


def describe(writing: OpenWrite, wanted: Attributes) -> None:
    """Set size, time and permissions of a file that is being written."""
    if wanted.size is not None:
        writing.truncate(wanted.size)
    mtime_ns, mode = wishes(wanted)
    if mtime_ns is not None or mode is not None:
        writing.describe(mtime_ns, mode)
