"""The open files of one client: read in a fixed version, or staged until they are published."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fsclient.gateway.attributes import describe, facts_of, facts_of_writing, mode_for, wishes
from fsclient.gateway.backend import Backend
from fsclient.gateway.edits import must_be_changeable
from fsclient.gateway.fetching import contents_of
from fsclient.gateway.handles import Handle, ReadHandle, WriteHandle
from fsclient.gateway.lookup import FRESH_TO_WRITE_S
from fsclient.gateway.nodes import GatewayNode
from fsclient.gateway.open_places import OpenPlaces
from fsclient.gateway.open_write import OpenWrite
from fsclient.gateway.paths import SHARED, GatewayPath
from fsclient.gateway.read_ahead import Received
from fsclient.gateway.read_stream import ReadStream
from fsclient.gateway.staging import Staged
from fsclient.session.session import Session
from fsclient.tree.nodes import TreeNode
from fskit.file_names import Spellings
from fskit.sftp.codes import OpenFlag
from fskit.sftp.packets import Attributes
from fskit.sftp.status import WrongHandleError
from fsproto.errors import (
    ConflictError,
    ExistsError,
    FsError,
    NotAllowedError,
    NotFoundError,
)
from fsproto.sealed.manifest import Mode


class OpenFiles:
    """The open files of one client; any of its threads may call."""

    def __init__(self, backend: Backend, spellings: Spellings) -> None:
        """`spellings` records the names that the client opens."""
        self._backend = backend
        self._spellings = spellings
        self.places = OpenPlaces()

    # --- opening

    def open(
        self, place: GatewayPath, flags: OpenFlag, wanted: Attributes | None = None
    ) -> ReadHandle | WriteHandle:
        """Open a file; raise `NotFoundError` if it does not exist and must not be created.

        `wanted` has the attributes of a new file.
        """
        handle = self._open(place, flags, wanted)
        writes = isinstance(handle, WriteHandle)
        self._spellings.use(place.spelled, written=writes)
        return handle

    def _open(
        self, place: GatewayPath, flags: OpenFlag, wanted: Attributes | None
    ) -> ReadHandle | WriteHandle:
        if flags & OpenFlag.CREATE and flags & OpenFlag.EXCLUSIVE:
            there = self._backend.reach(place, follow=False, within_s=FRESH_TO_WRITE_S)[1]
            if there is not None:  # also a link that leads nowhere
                raise ExistsError(f"'{place}' exists already.")
        place, node = self._led_to(place)
        self.places.settle(place)
        writes = bool(flags & OpenFlag.WRITE)
        if writes or flags & (OpenFlag.CREATE | OpenFlag.TRUNCATE):
            self._backend.must_be_writable()
            if place.is_fixed:
                raise NotAllowedError(f"'{place}' is a folder.")
        with self.places.change:
            writing = self.places.written_at(place)
            if writing is not None:
                if flags & OpenFlag.EXCLUSIVE and flags & OpenFlag.CREATE:
                    raise ExistsError(f"'{place}' exists already.")
                return self._join(writing, flags) if writes else self._read_too(writing, flags)
        if not writes:
            changed = self._create(place, flags)
            return self._open_to_read(place, None if changed else node)
        handle = self._open_to_write(place, flags)
        if wanted is not None and wanted.permissions is not None and handle.writing.base is None:
            handle.writing.mode = mode_for(wanted.permissions)
        return handle

    def _create(self, place: GatewayPath, flags: OpenFlag) -> bool:
        """Create or empty a file that is opened only to be read, as open(2) does.

        Return whether it was changed.
        """
        if not flags & (OpenFlag.CREATE | OpenFlag.TRUNCATE):
            return False
        node = self._backend.reach(place, follow=True, within_s=0)[1]
        if node is None and not flags & OpenFlag.CREATE:
            return False
        if node is not None and flags & OpenFlag.CREATE:
            _file_at(node)
            if flags & OpenFlag.EXCLUSIVE:
                raise ExistsError(f"'{place}' exists already.")
        if node is not None and not flags & OpenFlag.TRUNCATE:
            return False
        handle = self._open_to_write(place, flags | OpenFlag.WRITE)
        self._leave(handle.writing, publish=True)
        return True

    def _led_to(self, place: GatewayPath) -> tuple[GatewayPath, GatewayNode | None]:
        """Return the path of the file to open, and its node if known; a link is followed."""
        if self.places.written_at(place) is not None:
            return place, None
        return self._backend.reach(place, follow=True)

    def _open_to_read(self, place: GatewayPath, known: GatewayNode | None) -> ReadHandle:
        """Open a file; `known` is its node, if a lookup has just returned it."""

        def look(session: Session) -> ReadHandle:
            node = self._backend.walker.find(session, place, follow=True)
            return self._reader(node, self._backend.ahead.receive(session, node, _file_at(node)))

        received = self._backend.ahead.take(known)
        if known is not None and received is not None:
            handle = self._reader(known, received)
        else:
            handle = self._backend.look(look)
        self.places.add_reader(handle)
        return handle

    def _reader(self, node: GatewayNode, received: Received) -> ReadHandle:
        contents = received.contents
        stream = ReadStream(contents, self._backend.sessions, received.sealed)
        return ReadHandle(node.place, stream, facts_of(node), contents.node)

    def _open_to_write(self, place: GatewayPath, flags: OpenFlag) -> WriteHandle:
        base, reading = self._base_to_write(place, flags)
        staged = Staged(
            self._backend.staging,
            size=reading.size if reading else 0,
            base=reading.read if reading else None,
        )
        writing = OpenWrite(place, base, staged, fresh=reading is None, under=reading)
        with self.places.change:
            return self._join(self.places.add(writing), flags)  # another thread may be faster

    def _base_to_write(
        self, place: GatewayPath, flags: OpenFlag
    ) -> tuple[TreeNode | None, ReadStream | None]:
        """Return the version that a client changes, if there is one, and a reader of its content.

        There is no reader if the content is not needed.
        """
        new = flags & OpenFlag.CREATE and flags & OpenFlag.EXCLUSIVE

        def look(session: Session) -> tuple[TreeNode | None, ReadStream | None]:
            self._backend.walker.forget(place)
            _, node = self._backend.walker.reach(session, place, follow=True)
            if node is None:
                if not flags & OpenFlag.CREATE:
                    raise NotFoundError(f"There is no '{place}'.")
                folder = self._backend.walker.find(session, place.parent, follow=True).folder()
                must_take_files(session, folder, place)
                return None, None
            if new:
                raise ExistsError(f"'{place}' exists already.")
            found = _file_at(node)
            must_take_files(session, found, place)
            if flags & OpenFlag.TRUNCATE:
                return found, None
            return found, ReadStream(contents_of(session, found), self._backend.sessions)

        if flags & OpenFlag.CREATE and (flags & OpenFlag.TRUNCATE or new):
            known = self._backend.walker.known(place, follow=True, within_s=FRESH_TO_WRITE_S)
            # What others share is left to `look`, which checks that the user may write there.
            if known is not None and known[0].parts[:1] != (SHARED,):
                if known[1] is None:
                    return None, None
                if not new:
                    return _file_at(known[1]), None
        return self._backend.look(look)

    def _join(self, writing: OpenWrite, flags: OpenFlag) -> WriteHandle:
        writing.writers += 1
        if flags & OpenFlag.TRUNCATE:
            writing.truncate(0)
        return WriteHandle(
            writing, reads=bool(flags & OpenFlag.READ), appends=bool(flags & OpenFlag.APPEND)
        )

    def _read_too(self, writing: OpenWrite, flags: OpenFlag) -> ReadHandle:
        """Open a file to read that the same client writes."""
        if flags & OpenFlag.TRUNCATE:
            writing.truncate(0)
        node = writing.base.keyed.node if writing.base is not None else None
        handle = ReadHandle(writing.place, writing, facts_of_writing(writing), node)
        self.places.add_reader(handle)
        return handle

    def read(self, handle: Handle, offset: int, length: int) -> bytes:
        """Return bytes of an open file; empty after its end."""
        match handle:
            case ReadHandle():
                return _read(handle, offset, length)
            case WriteHandle(reads=True):
                return handle.writing.read(offset, length)
        raise WrongHandleError("The handle was not opened for reading.")

    def write(self, handle: Handle, offset: int, data: bytes | memoryview) -> None:
        """Write bytes to an open file."""
        if not isinstance(handle, WriteHandle):
            raise WrongHandleError("The handle was not opened for writing.")
        writing = handle.writing
        try:
            handle.write(offset, data)
        except FsError as error:
            writing.failed = error
            raise
        if writing.is_early and not writing.orphaned:
            self._backend.publisher.begin_early(writing)

    def start_sync(self, handle: Handle) -> Callable[[], None]:
        """Return a function that publishes the data written so far; the file stays open.

        Until that function has run, renames and removals of the file wait.
        """
        if not isinstance(handle, WriteHandle) or handle.writing.orphaned:
            return lambda: None
        writing = handle.writing
        with self.places.change:
            writing.syncing += 1

        def sync() -> None:
            try:
                if not writing.orphaned:
                    self.publish(writing)
            finally:
                with self.places.change:
                    writing.syncing -= 1
                    self.places.release(writing)

        return sync

    def waits_at_close(self, handle: Handle) -> bool:
        """Return whether the handle writes a file; the last such handle marks it as closing."""
        if not isinstance(handle, WriteHandle):
            return False
        with self.places.change:
            if handle.writing.writers == 1:
                handle.writing.closing = True
        return True

    def close(self, handle: Handle) -> None:
        """Close a handle; closing the last handle that writes a file publishes the file."""
        match handle:
            case ReadHandle():
                self.places.remove_reader(handle)
            case WriteHandle():
                self._leave(handle.writing, publish=True)

    def abandon(self, handles: list[Handle]) -> None:
        """Discard open handles and their data: without a close, the files may be incomplete."""
        for handle in handles:
            if isinstance(handle, ReadHandle):
                self.places.remove_reader(handle)
            elif isinstance(handle, WriteHandle):
                handle.writing.orphaned = True
                self._leave(handle.writing, publish=False)

    def _leave(self, writing: OpenWrite, *, publish: bool) -> None:
        with self.places.change:
            writing.writers -= 1
            last = not writing.writers
            writing.closing = writing.closing or last
        if not last:
            return
        try:
            if publish and not writing.orphaned:
                self.publish(writing)
        finally:
            self.places.remove(writing)

    # --- changes of what is open

    def rename_new(self, writing: OpenWrite, new: GatewayPath, *, replacing: bool) -> None:
        """Give a file that was never published another path; it is stored there at its close.

        What it replaces stays until then, as for a file that is overwritten.
        """
        is_same = writing.place == new
        if not replacing and (is_same or self.places.written_at(new) is not None):
            raise ExistsError(f"'{new}' exists already.")
        if is_same:
            return
        must_be_changeable(new)
        if writing.place.remote().owner != new.remote().owner:
            raise NotAllowedError("Nothing can be moved from one person's tree to another's.")
        base = self._backend.look(partial(self._replaced, new, replacing))
        if base is not None and base.kind == "symlink":
            self._backend.change(partial(self._backend.changer.remove, place=new, folder=False))
            base = None
        if base is not None:
            writing.give_up_early()  # it was sealed as a new file
        writing.replaces(base)

    def _replaced(
        self,
        new: GatewayPath,
        replacing: bool,  # noqa: FBT001 - bound by the caller
        session: Session,
    ) -> TreeNode | None:
        """Return what a new file replaces at a path; raise if it may not."""
        self._backend.walker.forget(new)
        _, node = self._backend.walker.reach(session, new, follow=False)
        if node is None or node.found is None:
            folder = self._backend.walker.find(session, new.parent, follow=True).folder()
            must_take_files(session, folder, new)
            return None
        if not replacing:
            raise ExistsError(f"'{new}' exists already.")
        if node.kind == "folder":
            raise ConflictError(f"'{new}' is a folder.")
        must_take_files(session, node.found, new)
        return node.found

    def describe_read(self, handle: ReadHandle, wanted: Attributes) -> None:
        """Set time and permissions of a file that is open for reading, wherever it is now."""
        mtime_ns, mode = wishes(wanted)
        if handle.place is None:
            _describe_reader(handle, mtime_ns, mode)
            return
        self.places.settle(handle.place)
        writing = self.places.written_at(handle.place)
        if writing is not None and writing is handle.content:
            describe(writing, wanted)
            return
        self._backend.describe(handle.place, mtime_ns, mode, node=handle.node)
        self.described(handle.place, mtime_ns, mode)

    def described(self, place: GatewayPath, mtime_ns: int | None, mode: Mode | None) -> None:
        """Record the new time and mode of a file for the handles that read it."""
        for reader in self.places.readers_at(place):
            _describe_reader(reader, mtime_ns, mode)

    def publish(self, writing: OpenWrite) -> None:
        """Publish a file that is being written; raise if an earlier write to it has failed."""
        with writing.publishing:
            if writing.failed is not None:
                raise FsError(
                    f"'{writing.place}' was not put: a write to it failed earlier.",
                    hint=writing.failed.sentence,
                )
            if writing.is_dirty:
                writing.check_holes()
                self._backend.publisher.publish(writing)
            elif writing.is_described:
                self._backend.publisher.describe(writing)


def _read(handle: ReadHandle, offset: int, length: int) -> bytes:
    while True:
        content = handle.content
        try:
            return content.read(offset, length)
        except FsError:
            if handle.content is content:  # else the client writes to the file since
                raise


def _describe_reader(reader: ReadHandle, mtime_ns: int | None, mode: Mode | None) -> None:
    if isinstance(reader.content, OpenWrite):
        reader.content.describe(mtime_ns, mode)
    else:
        reader.facts = reader.facts.described(mtime_ns, mode)


def _file_at(node: GatewayNode) -> TreeNode:
    if node.found is None or node.kind != "file":
        raise ConflictError(f"'{node.place}' is a {node.kind}, not a file.")
    return node.found


def must_take_files(session: Session, found: TreeNode, place: GatewayPath) -> None:
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
