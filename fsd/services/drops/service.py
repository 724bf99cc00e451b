"""The drop box: use cases of the sender, on any listener, and of the recipient.

Commit order as for files: staged → root → synced → one transaction → answer. An upload that is
interrupted before that transaction makes no drop, and the janitor deletes its remains.

The server has a drop's plaintext while it arrives, and its file key until the commit; then it
forgets both. Name, size and note key of a drop are in the memory of the session that uploaded it,
so that this session can list, rename and delete its own drops. No session can read a drop back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator

from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.blobs.base import BlobStore, release
from fsd.blobs.places import Places
from fsd.policies import MIB, DropPolicy
from fsd.principal import Principal
from fsd.services.drops.model import DropSource, FinishedDrop, KeyHolder
from fsd.services.drops.session import DropSession
from fsd.services.paging import following, parts
from fsd.store import models
from fsd.store.drop_models import Drop as Row
from fsd.store.engine import Database, before_commit
from fsd.store.repos import blobs as blob_rows
from fsd.store.repos import drops as rows
from fsd.store.repos import logins, users
from fsd.store.repos import uploads as upload_rows
from fsproto.drop import Drop, DropContent, RequestedDrop
from fsproto.errors import (
    ConflictError,
    NotAllowedError,
    NotFoundError,
    OutOfSpaceError,
    RemoteProtocolError,
)
from fsproto.keys.identity import VerifiedBundle, verify_bundle
from fsproto.limits import MAX_DROPS_NAMED
from fsproto.messages.base import Done
from fsproto.messages.drops import Drops
from fsproto.names import is_user
from fsproto.signed import Signed
from fsproto.types import DropId, Hash, Random, RequestId, Root, Salt

LINGER_MS = 10 * 60_000
"""How long a session without a connection is kept, in milliseconds."""


class DropService:
    """The drop boxes of the users; calls block, and use no sockets."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        *,
        policy: DropPolicy,
        audit: AuditLog,
        now_ms: Callable[[], int],
        random: Random,
        places: Places | None = None,
    ) -> None:
        """Take the parts; `places` are those that other services of this server use as well."""
        self._database = database
        self.blobs = blobs
        self.places = places or Places(database, now_ms)
        self.policy = policy
        self._audit = audit
        self.now_ms = now_ms
        self.random = random
        self._lock = threading.Lock()
        self._under_way: dict[int, int] = {}
        self._sessions: dict[tuple[int, bytes, DropSource, str], DropSession] = {}

    # --- the sender

    def key_holder(self, fingerprint: str) -> KeyHolder | None:
        """Return the user that an SSH key may drop for; None if there is none or drops are refused.

        `fingerprint` is `SHA256:…`, as OpenSSH writes it. The key gives access to the drop box
        only.
        """
        if not self.policy.box:
            return None
        with self._database.read() as db:
            return self._holder(db, fingerprint)

    def still_held(self, holders: Collection[KeyHolder]) -> set[KeyHolder]:
        """Return the holders whose key is unchanged since it was looked up."""
        if not holders or not self.policy.box:
            return set()
        with self._database.read() as db:
            return {one for one in holders if self._holder(db, one.fingerprint) == one}

    def enter(self, user: str, source: DropSource, session: str = "") -> DropSession:
        """Start a session that drops for a user; the listener has identified the source.

        Connections with the same `session` and the same source share one session: it lasts until
        some minutes after the last of them has ended. Each must call `leave` at its end. Without a
        name, the connection gets its own session. `NotAllowedError` if the user accepts no drops.
        """
        if not self.policy.box:
            raise NotAllowedError("This server has no drop box.")
        with self._database.read() as db:
            found = users.by_name(db, user) if is_user(user) else None
            bundle = users.bundle(db, found.id) if found else None
            if found is None or users.is_out(found, self.now_ms()) or bundle is None:
                raise NotAllowedError("That user cannot receive drops.")
            verified = verify_bundle(Signed(bundle.payload, bundle.signature), user)
            user_id = found.id
        with self._lock:
            over = self._forgotten()
            which = (user_id, verified.hash, source, session)
            box = self._sessions.get(which) if session else None
            if box is None:
                box = DropSession(self, user_id, verified, source)
                if session:
                    self._sessions[which] = box
            else:
                box.users += 1
        for one in over:
            one.close()
        return box

    def leave(self, box: DropSession) -> None:
        """Note that a connection has left a session."""
        with self._lock:
            box.users -= 1
            box.left_ms = self.now_ms()
            goes_on = box.users > 0 or box in self._sessions.values()
        if not goes_on:
            box.close()

    def _forgotten(self) -> list[DropSession]:
        """Remove and return the sessions that no connection resumed; the caller closes them."""
        until = self.now_ms() - LINGER_MS
        over = {w: b for w, b in self._sessions.items() if b.users <= 0 and b.left_ms < until}
        for which in over:
            del self._sessions[which]
        return list(over.values())

    def reserve(self, user_id: int) -> None:
        """Count one more upload in progress; `OutOfSpaceError` if there are too many."""
        with self._lock:
            count = self._under_way.get(user_id, 0)
            if count >= self.policy.at_once:
                raise OutOfSpaceError("Too many files are being dropped for that user at once.")
            self._under_way[user_id] = count + 1
        try:
            with self._database.read() as db:
                self._check_room(db, user_id, 0)
        except BaseException:
            self.release(user_id)
            raise

    def release(self, user_id: int) -> None:
        """Count one upload in progress less."""
        with self._lock:
            left = self._under_way.get(user_id, 0) - 1
            if left > 0:
                self._under_way[user_id] = left
            else:
                self._under_way.pop(user_id, None)

    def commit(self, box: DropSession, made: FinishedDrop, instead: list[DropId]) -> None:
        """Commit a durable drop; it replaces others of the same session."""
        committing: list[bool] = []
        try:
            with self._database.write() as db:
                self._hold(db, box.user_id, box.bundle)
                gone = rows.remove(db, instead)
                self._check_room(db, box.user_id, made.content.sealed_size)
                self._store(db, box, made)
                logins.notify(db, box.user_id, logins.DROPPED, made.arrived_ms, box.source.address)
                self._audit.record(
                    db,
                    AuditEvent.DROPPED,
                    actor=box.source.actor(box.user),
                    subject=box.user,
                    address=box.source.address,
                    detail=f"{made.content.sealed_size} sealed bytes",
                )
                before_commit(db, lambda _: committing.append(True))
        except BaseException:
            if made.place is not None and not committing:  # else it may be committed
                self.blobs.delete([made.place])
            raise
        finally:
            if made.place is not None:
                self.places.done(made.place)
        release(self.blobs, gone)

    def change_notes(
        self, box: DropSession, notes: dict[DropId, bytes], instead: list[DropId]
    ) -> None:
        """Replace the notes of a session's drops; `NotFoundError` if a drop no longer exists."""
        with self._database.write() as db:
            gone = rows.remove(db, instead)
            for drop, note in notes.items():
                row = rows.hold(db, drop)
                if row is None or row.user_id != box.user_id:
                    raise NotFoundError("It was accepted or removed in the meantime.")
                row.note = note
        release(self.blobs, gone)

    def take_back(self, box: DropSession, drop: DropId) -> None:
        """Delete a drop of a session; an accepted drop is already gone."""
        with self._database.write() as db:
            gone = rows.remove(db, rows.of_user(db, box.user_id, [drop]))
        release(self.blobs, gone)

    # --- the recipient

    def waiting(self, who: Principal) -> Iterator[Drops]:
        """Yield the drops that wait for the user."""

        def page(after: rows.WaitingDrop | None) -> list[rows.WaitingDrop]:
            with self._database.read() as db:
                return rows.waiting(db, who.user_id, after)

        for part, more in parts(
            following(page), lambda one: len(one[0].wrapped) + len(one[0].note)
        ):
            yield Drops([_drop(drop, blob) for drop, blob in part], more)

    def remove(self, who: Principal, drops: list[DropId]) -> Done:
        """Delete drops of the user; a missing drop is not an error."""
        if len(drops) > MAX_DROPS_NAMED:
            raise RemoteProtocolError("Too many drops were named at once.")
        with self._database.write() as db:
            mine = rows.of_user(db, who.user_id, drops)
            gone = rows.remove(db, mine)
            if mine:
                detail = f"{len(mine)}"
                self._audit.record_own(db, AuditEvent.DROPS_REMOVED, who, detail)
        release(self.blobs, gone)
        return Done()

    # --- helpers

    def _holder(self, db: Db, fingerprint: str) -> KeyHolder | None:
        found = rows.drop_key_user(db, fingerprint)
        if found is None or users.is_out(found[0], self.now_ms()):
            return None
        user, key = found
        return KeyHolder(user.id, user.name, key.fingerprint, key.label)

    def _hold(self, db: Db, user_id: int, bundle: VerifiedBundle) -> None:
        """Lock the recipient; `NotAllowedError` if the recipient no longer accepts drops."""
        logins.hold(db, bundle.body.user)
        user = users.hold(db, user_id)
        if user is None or users.is_out(user, self.now_ms()):
            raise NotAllowedError("That user can no longer receive drops.")
        # Keys that were rotated in the meantime still open it; keys that were reset do not.
        row = db.get(models.Bundle, (user_id, bundle.body.version))
        if row is None or row.payload != bundle.signed.payload:
            raise ConflictError("The keys of that person were reset in the meantime; log in again.")

    def _check_room(self, db: Db, user_id: int, size: int) -> None:
        policy = self.policy
        count, stored = rows.load(db, user_id)
        if count >= policy.waiting or stored + size > policy.waiting_mib * MIB:
            raise OutOfSpaceError(
                "The drop box of that user is full.",
                hint="The user can empty it with 'fsclient inbox accept' or 'inbox reject'.",
            )

    def _store(self, db: Db, box: DropSession, made: FinishedDrop) -> None:
        if made.place is not None and not upload_rows.claim(db, made.place):
            raise ConflictError("This drop took too long; nothing of it was kept.")
        blob = {
            "root": made.content.root,
            "owner_id": box.user_id,
            "node_id": made.drop,
            "salt": made.content.salt,
            "size": made.content.sealed_size,
            "created_ms": made.arrived_ms,
            "data": made.data,
            "place": made.place,
        }
        blob_rows.add_all(db, [blob])
        db.add(
            Row(
                id=made.drop,
                user_id=box.user_id,
                root=made.content.root,
                bundle_hash=box.bundle.hash,
                wrapped=made.wrapped,
                note=made.note,
                created_ms=made.arrived_ms,
            )
        )
        db.flush()


def _drop(row: Row, blob: models.Blob) -> Drop:
    content = DropContent(Salt(blob.salt), Root(blob.root), blob.size)
    arrived = None
    if row.request_id is not None:
        arrived = RequestedDrop(RequestId(row.request_id), row.created_ms)
    return Drop(DropId(row.id), Hash(row.bundle_hash), row.wrapped, row.note, content, arrived)
