"""One drop session for one user: its uploads in progress and its finished drops."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

from msgspec.structs import replace

from fsd.blobs.base import BlobStore
from fsd.blobs.places import Places
from fsd.policies import DropPolicy
from fsd.services.drops.incoming import StreamingEncryptor
from fsd.services.drops.model import DropSource, FinishedDrop, SessionDrop
from fskit.file_names import Spellings
from fsproto import crypto
from fsproto.drop import DROP_ID_SIZE, DropContent, DropKeys, DropNote, seal_note, wrap_drop
from fsproto.errors import (
    ConflictError,
    ExistsError,
    InvalidNameError,
    NotAllowedError,
    NotFoundError,
)
from fsproto.keys.identity import VerifiedBundle
from fsproto.limits import MAX_DROP_TEXT
from fsproto.names import drop_parts, for_terminal
from fsproto.sealed import integrity
from fsproto.types import DropId, Random, Salt

MOST_REMEMBERED = 10_000
"""Drops that one session can still list, rename and take back."""


class DropStore(Protocol):
    """The part of the drop service that a session uses; all calls block."""

    policy: DropPolicy
    blobs: BlobStore
    places: Places
    random: Random
    now_ms: Callable[[], int]

    def reserve(self, user_id: int) -> None:
        """Count one more upload in progress for a user; `OutOfSpaceError` if there are too many."""

    def release(self, user_id: int) -> None:
        """Count one upload in progress less."""

    def commit(self, box: DropSession, made: FinishedDrop, instead: list[DropId]) -> None:
        """Store a drop; it replaces others of the same session."""

    def change_notes(
        self, box: DropSession, notes: dict[DropId, bytes], instead: list[DropId]
    ) -> None:
        """Store new notes for drops of this session; delete the drops that these replace."""

    def take_back(self, box: DropSession, drop: DropId) -> None:
        """Delete a drop of this session."""

    def leave(self, box: DropSession) -> None:
        """Note that one connection has left the session."""


class IncomingDrop:
    """An incoming drop; made by `DropSession.begin`."""

    def __init__(self, box: DropSession, service: DropStore, name: str) -> None:
        """Take the session and the name of the drop."""
        self._box = box
        self._service = service
        self.name = name
        self.mtime_ns: int | None = None
        """The modification time set by the client."""
        self.began_ms = service.now_ms()
        random = service.random
        self._drop = DropId(random(DROP_ID_SIZE))
        secret = random(crypto.KEY_SIZE)
        keys, salt = DropKeys.of(secret), Salt(random(integrity.SALT_SIZE))
        # Sealed at once, so that nothing needs the secret any longer.
        self._wrapped = wrap_drop(self._drop, secret, box.bundle, random)
        self._note_key = keys.note_key
        most = service.policy.largest_mib << 20
        self._content = StreamingEncryptor(
            service.blobs, service.places, self._drop, keys.file_key, salt, most=most
        )
        self._over = False
        self._failed = False

    @property
    def size(self) -> int:
        """Bytes received without a gap."""
        return self._content.size

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Take bytes: see `StreamingEncryptor.write`. An error makes the upload unusable."""
        self._must_go_on()
        try:
            self._content.write(offset, data)
        except BaseException:
            self._failed = True
            raise

    def finish(self) -> None:
        """Store and commit the drop, durably; on an error, raise and keep nothing."""
        self._must_go_on()
        self._over = True
        try:
            if self._failed:
                raise ConflictError("A part of the file was refused; nothing of it was kept.")
            content, data = self._content.finish()
            self._commit(content, data)
        finally:
            self._content.abort()
            self._box.forget(self)

    def abort(self) -> None:
        """Discard the upload; harmless if it has ended."""
        if not self._over:
            self._over = True
            self._content.abort()
            self._box.forget(self)

    def _commit(self, content: DropContent, data: bytes | None) -> None:
        service, source = self._service, self._box.source
        now = service.now_ms()
        mtime_ns = now * 1_000_000 if self.mtime_ns is None else self.mtime_ns
        size = self.size
        note = DropNote(self.name, size, mtime_ns, now, source.key, source.label, source.address)
        sealed = seal_note(self._note_key, self._drop, content, note, service.random)
        made = FinishedDrop(
            self._drop, content, self._wrapped, sealed, now, data, self._content.place
        )
        self._box.commit(made, SessionDrop(self._drop, content, note, self._note_key))

    def _must_go_on(self) -> None:
        if self._over:
            raise ConflictError("This drop is over.")


class DropSession:
    """The drops of one session for one person; any thread may call.

    Several connections may share it: clients open more than one, and list on one of them the files
    that they have sent over another.
    """

    def __init__(
        self, service: DropStore, user_id: int, bundle: VerifiedBundle, source: DropSource
    ) -> None:
        """Take the person, the keys to seal to, and the uploader; see `DropService.enter`."""
        self._service = service
        self.user_id = user_id
        self.user = bundle.body.user
        self.bundle = bundle
        cut = source.label[:MAX_DROP_TEXT], source.address[:MAX_DROP_TEXT]
        self.source = DropSource(cut[1], source.key[:MAX_DROP_TEXT], cut[0])
        self._lock = threading.RLock()
        self._mine: dict[str, SessionDrop] = {}
        self._open: dict[str, IncomingDrop] = {}
        self._folders: Counter[str] = Counter()
        """Number of drops and uploads in each folder and the folders below it."""
        self._made: set[str] = set()
        self.spellings = Spellings()
        """The names as the client wrote them, on any connection of the session."""
        self.users = 1
        """Connections that share it; counted by `DropService`."""
        self.left_ms = 0
        """Time since which no connection uses it."""

    def begin(self, name: str) -> IncomingDrop:
        """Start a drop; when it is finished, it replaces this session's drop of the same name.

        Raises `InvalidNameError`, `OutOfSpaceError`, and `ConflictError` while one of that name is
        still under way.
        """
        name = self._clean(name)
        with self._lock:
            if name in self._open:
                raise ConflictError(f"'{for_terminal(name)}' is being written.")
            if len(self._mine) >= MOST_REMEMBERED:
                raise NotAllowedError("Too much was dropped in one session; log in again.")
            self._service.reserve(self.user_id)
            try:
                one = IncomingDrop(self, self._service, name)
            except BaseException:
                self._service.release(self.user_id)
                raise
            self._open[name] = one
            self._folders.update(_above(name))
            return one

    def mine(self) -> dict[str, SessionDrop]:
        """Return this session's finished drops, by name."""
        with self._lock:
            return dict(self._mine)

    def under_way(self) -> dict[str, IncomingDrop]:
        """Return this session's uploads in progress, by name."""
        with self._lock:
            return dict(self._open)

    def found(self, name: str) -> IncomingDrop | SessionDrop | None:
        """Return this session's upload or finished drop of a name."""
        with self._lock:
            return self._open.get(name) or self._mine.get(name)

    def has_folder(self, name: str) -> bool:
        """Return whether a folder was made, or contains a drop of this session."""
        with self._lock:
            return name in self._made or self._folders[name] > 0

    def made(self) -> set[str]:
        """Return the folders that this session made, and the folders above them."""
        with self._lock:
            return set(self._made)

    def make_folder(self, name: str) -> None:
        """Record a folder, and the folders above it; they may be empty."""
        name = self._clean(name)
        with self._lock:
            if len(self._made) >= MOST_REMEMBERED:
                raise NotAllowedError("Too many folders were made in one session.")
            self._made |= {name, *_above(name)}

    def forget_folder(self, name: str) -> None:
        """Forget a folder that was made."""
        with self._lock:
            self._made.discard(name)

    def rename(self, names: dict[str, str], *, replacing: bool = False) -> None:
        """Rename drops of this session, all or none.

        `NotFoundError` if one no longer exists, `ConflictError` if one is still being written.
        `ExistsError` if a name is taken; with `replacing`, the drop of that name is deleted.
        """
        new = {old: self._clean(name) for old, name in names.items()}
        with self._lock:
            found = {old: self._found(old) for old in names}
            left = self._mine.keys() - names.keys()
            taken = [name for name in new.values() if name in left]
            busy = self._open.keys() & set(new.values())
            if len(set(new.values())) < len(new) or busy or (taken and not replacing):
                raise ExistsError("A file or folder of that name exists already.")
            instead = [self._mine[name].drop for name in taken]
            renamed = {
                name: self._noted(found[old], replace(found[old].note, name=name))
                for old, name in new.items()
            }
            self._service.change_notes(self, self._sealed(renamed), instead)
            for gone in (*names, *taken):
                self._forget(gone)
            for name, one in renamed.items():
                self._note(name, one)

    def set_time(self, name: str, mtime_ns: int) -> None:
        """Set the modification time of a drop of this session; `NotFoundError` if there is none."""
        with self._lock:
            was = self._found(name)
            now = {name: self._noted(was, replace(was.note, mtime_ns=mtime_ns))}
            self._service.change_notes(self, self._sealed(now), [])
            self._mine |= now

    def remove(self, name: str) -> None:
        """Delete a drop of this session.

        `NotFoundError` if there is none, `ConflictError` while it is still being written.
        """
        with self._lock:
            self._service.take_back(self, self._found(name).drop)
            self._forget(name)

    def leave(self) -> None:
        """End a connection of the session; some time after the last one, the session ends."""
        self._service.leave(self)

    def close(self) -> None:
        """End the session and discard its uploads in progress."""
        with self._lock:
            left = list(self._open.values())
            for name in list(self._mine):
                self._forget(name)
        for one in left:
            one.abort()

    # --- for uploads in progress

    def commit(self, made: FinishedDrop, mine: SessionDrop) -> None:
        """Commit a drop; it replaces one of the same name."""
        with self._lock:
            before = self._mine.get(mine.note.name)
            self._service.commit(self, made, [before.drop] if before else [])
            self._note(mine.note.name, mine)

    def forget(self, one: IncomingDrop) -> None:
        """Remove an upload that has ended."""
        with self._lock:
            del self._open[one.name]
            self._folders.subtract(_above(one.name))
        self._service.release(self.user_id)

    def _note(self, name: str, one: SessionDrop) -> None:
        if name not in self._mine:
            self._folders.update(_above(name))
        self._mine[name] = one

    def _forget(self, name: str) -> None:
        if self._mine.pop(name, None) is not None:
            self._folders.subtract(_above(name))

    def _found(self, name: str) -> SessionDrop:
        if name in self._open:
            raise ConflictError(
                f"'{for_terminal(name)}' is being written; it can be changed when it is complete."
            )
        found = self._mine.get(name)
        if found is None:
            raise NotFoundError(f"There is no '{for_terminal(name)}' of this session.")
        return found

    def _noted(self, was: SessionDrop, note: DropNote) -> SessionDrop:
        return SessionDrop(was.drop, was.content, note, was.note_key)

    def _sealed(self, drops: dict[str, SessionDrop]) -> dict[DropId, bytes]:
        random = self._service.random
        return {
            one.drop: seal_note(one.note_key, one.drop, one.content, one.note, random)
            for one in drops.values()
        }

    def _clean(self, name: str) -> str:
        name = "/".join(drop_parts(name))
        if len(name.encode()) > self._service.policy.longest_name:
            raise InvalidNameError(
                f"A name may have {self._service.policy.longest_name} bytes here."
            )
        return name


def _above(name: str) -> Iterator[str]:
    """Yield the folders above a name."""
    end = name.find("/")
    while end > 0:
        yield name[:end]
        end = name.find("/", end + 1)
