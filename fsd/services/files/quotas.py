"""Quotas of trees: space is reserved before an upload and settled when it is committed.

A quota counts the sealed sizes of the current contents of the tree's files, and the number of
files. A transaction that changes these settles the difference itself, and locks the owner's row
from its start. So the stored number always equals the counted number, and no commit raises it
above the limit.

A reservation allows the server to refuse an upload before its first byte. It is bound to the
connection and ends with it, or with its commit; a resumed upload reserves again. Nothing relies
on reservations being exact.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.policies import QuotaPolicy
from fsd.principal import Principal
from fsd.services.files.shares import folder_for
from fsd.store.engine import Database
from fsd.store.quota_models import Reservation
from fsd.store.repos import blobs as blob_rows
from fsd.store.repos import nodes, quotas, stored, users
from fsd.store.repos.quotas import Held, HeldQuota
from fsd.store.repos.stored import Stored
from fskit.text import MAX_BYTES, binary_size_text
from fsproto.errors import ConflictError, QuotaError, RemoteProtocolError
from fsproto.keys.grants import Role
from fsproto.messages.files import Room
from fsproto.types import Salt

LEASE_MS = 120_000
"""After this long without a word from its fsd, a reservation ends by itself."""
RENEW_S = 30.0
STEP = 16 << 20
"""Bytes that are reserved at a time where the size is not known beforehand."""
COUNT_EACH_MS = 60_000
"""What is stored in one quota is counted at most this often."""
_NOTHING = Stored()
_ANYWHERE = Room(None, None, None)


class UploadSpace:
    """The space for one upload: the announced size, or space reserved step by step."""

    def __init__(self, quotas: Quotas, who: Principal, salt: Salt, line: bytes, room: Room) -> None:
        """Take the uploader, the connection, and the announced space."""
        self._quotas = quotas
        self.who, self.salt, self.line, self.room = who, salt, line, room
        self.payer_id = who.user_id
        """In whose quota it counts."""
        self.credit = Held()
        """What leaves its place to it."""
        self.unfinished = 0
        """Bytes of other uploads of the user that were interrupted."""
        self.is_reserved = False
        self._covered = 0

    def cover(self, size: int) -> None:
        """Ensure that `size` bytes are reserved.

        `QuotaError` if the quota is used up; `ConflictError` if `size` exceeds the announced size.
        """
        if self.room.size is not None:
            if size > self.room.size:
                raise ConflictError("The file is larger than announced when its upload started.")
        elif self.is_reserved and size > self._covered:
            self._covered = self._quotas.extend(self, size)

    def let_go(self) -> None:
        """Release the reservation; harmless if it was already released or settled."""
        if self.is_reserved:
            self.is_reserved = False
            self._quotas.let_go(self.line, self.salt)


class Quotas:
    """The quotas of the accounts; calls block."""

    def __init__(
        self,
        database: Database,
        *,
        now_ms: Callable[[], int],
        policy: QuotaPolicy | None = None,
        server: str = "",
        audit: AuditLog | None = None,
    ) -> None:
        """Take the parts, the general policy, and the id of this node (`fsd.cluster.registry`).

        `audit` records quotas that are almost used up.
        """
        self._audit = audit
        self._database = database
        self._now_ms = now_ms
        self.policy = policy or QuotaPolicy()
        """The current policy; it is replaced when the settings are reloaded."""
        self._server = server
        self._lock = threading.Lock()
        self._counted_ms: dict[int, int] = {}
        """When what is stored in a quota was last counted, by user."""
        self._lines: set[bytes] = set()
        """Connections that have reservations."""

    # --- uploads

    def reserve(
        self,
        who: Principal,
        salt: Salt,
        line: bytes,
        room: Room | None,
        unfinished: Callable[[], int] = lambda: 0,
    ) -> UploadSpace:
        """Reserve space for an upload, if its tree has a quota.

        `unfinished` returns the bytes of the user's other uploads that were interrupted.
        `QuotaError` if there is no space; `NotFoundError` or `NotAllowedError` for a folder that
        the user may not write to.
        """
        space = UploadSpace(self, who, salt, line, room or _ANYWHERE)
        if space.room.size is not None and not 0 < space.room.size <= MAX_BYTES:
            raise RemoteProtocolError("An upload of an impossible size was announced.")
        with self._database.read() as db:
            if space.room.folder is not None:
                folder = folder_for(db, nodes.get(db, space.room.folder), who, Role.WRITER)
                space.payer_id = quotas.payer_of(db, folder.owner_id)
            if not self.policy.limits(quotas.get(db, space.payer_id)):
                return space
        space.unfinished = unfinished()
        with self._lock:
            self._lines.add(line)
        with self._database.write() as db:
            row = quotas.hold(db, space.payer_id)
            space.credit = self._credit(db, space)
            self._reserve(db, space, row, space.room.size or 0)
        space.is_reserved = True
        return space

    def extend(self, space: UploadSpace, size: int) -> int:
        """Reserve more space for an upload of unknown size; return the bytes reserved in total."""
        with self._database.write() as db:
            row = quotas.hold(db, space.payer_id)
            try:
                self._reserve(db, space, row, size + STEP)
            except QuotaError:
                self._reserve(db, space, row, size)
                return size
        return size + STEP

    def let_go(self, line: bytes, salt: Salt | None = None) -> None:
        """End the reservations of a connection: all, or the one for one blob."""
        with self._lock:
            if line not in self._lines:
                return
            if salt is None:
                self._lines.discard(line)
        with self._database.write() as db:
            quotas.release_line(db, line, salt)

    def _credit(self, db: Db, space: UploadSpace) -> Held:
        """Return the amount that the file to be replaced already uses."""
        instead = nodes.get(db, space.room.instead) if space.room.instead else None
        if instead is None or quotas.payer_of(db, instead.owner_id) != space.payer_id:
            return Held()
        return quotas.of_nodes(db, [instead.id])

    def _reserve(self, db: Db, space: UploadSpace, row: HeldQuota | None, size: int) -> None:
        needs = Held(max(0, size - space.credit.size), 0 if space.credit.files else 1)
        who = space.who
        others = quotas.reserved(db, space.payer_id, self._now_ms(), who.user_id, [space.salt])
        # What waits for its commit without a reservation: its connection has ended.
        reserved = quotas.salts(db, who.user_id) | {bytes(space.salt)}
        waiting = blob_rows.uncommitted(db, who.user_id)
        left = sum(size for salt, size in waiting if salt not in reserved) + space.unfinished
        self._check(db, who, row, needs, others.and_more(Held(left)))
        quotas.reserve(
            db,
            Reservation(
                user_id=who.user_id,
                salt=space.salt,
                owner_id=space.payer_id,
                size=needs.size,
                files=needs.files,
                line=space.line,
                server=self._server,
                until_ms=self._now_ms() + LEASE_MS,
            ),
        )

    # --- commits

    def settle(
        self,
        db: Db,
        who: Principal,
        row: HeldQuota | None,
        change: Held,
        salts: Iterable[bytes],
        *,
        stores: Stored = _NOTHING,
    ) -> None:
        """Add a commit's change to the used amounts of a tree's quota `row`, which is locked.

        Release the reservations for the blobs with these salts. `stores` is at least what the
        commit adds to all that is stored. `QuotaError` if the commit raises an amount above its
        limit; the transaction must then be rolled back.
        """
        used_up = quotas.salts(db, who.user_id).intersection(salts)
        quotas.release(db, who.user_id, used_up)
        if row is None:
            return
        grows = Held(max(0, change.size), max(0, change.files))
        if any(grows) and self.policy.limits(row):
            others = quotas.reserved(db, row.user_id, self._now_ms(), who.user_id)
            self._check(db, who, row, grows, others)
        before = Held(row.used_bytes, row.used_files)
        row.used_bytes += change.size
        row.used_files += change.files
        self._note_near(db, who, row, before)
        self._settle_stored(db, who, row, stores)

    def _note_near(self, db: Db, who: Principal, row: HeldQuota, before: Held) -> None:
        """Record that a commit raised a used amount from below nine tenths of the quota."""
        most_bytes, most_files = self.policy.bytes_of(row), self.policy.files_of(row)
        near = []
        if _crosses(before.size, row.used_bytes, most_bytes):
            near.append(f"{row.used_bytes} of {most_bytes} bytes")
        if _crosses(before.files, row.used_files, most_files):
            near.append(f"{row.used_files} of {most_files} files")
        if near and self._audit is not None:
            self._audit.record(
                db,
                AuditEvent.QUOTA_NEAR,
                actor=who.user,
                subject=users.name_of(db, row.user_id),
                address=who.address,
                detail=", ".join(near),
            )

    def _settle_stored(self, db: Db, who: Principal, row: HeldQuota, grows: Stored) -> None:
        """Add what a commit stores to the count in a quota row; `QuotaError` above a limit.

        The count is never too low. Before a refusal it is counted again, exactly, but only at
        intervals: for a large tree that takes long, and all other commits wait for it.
        """
        count, now_ms = stored.known(row), self._now_ms()
        count = stored.of_trees(db, row.user_id) if count is None else count.and_more(grows)
        if self._above(row, count, grows):
            if now_ms - self._counted_ms.get(row.user_id, 0) >= COUNT_EACH_MS:
                self._counted_ms[row.user_id] = now_ms
                count = stored.of_trees(db, row.user_id)
            if told := self._above(row, count, grows):
                raise self._too_much(db, who, row, told)
        stored.keep(row, count)
        quotas.store(db, row)

    def _above(self, row: HeldQuota, count: Stored, grows: Stored) -> str:
        """Return what a commit raises above its limit, for an error sentence; empty: nothing."""
        policy, kept = self.policy, self.policy.kept_of(row)
        if grows.nodes and count.nodes > policy.nodes:
            return f"more than {policy.nodes} files and folders, with the removed ones"
        if grows.record_bytes and count.record_bytes > policy.records_mib << 20:
            return f"more than {policy.records_mib} MiB of names, versions and shares"
        if grows.kept_bytes and kept is not None and count.kept_bytes > kept:
            return f"more than {binary_size_text(kept)} of older versions and removed files"
        return ""

    def _too_much(self, db: Db, who: Principal, row: HeldQuota, told: str) -> QuotaError:
        whose = "You" if row.user_id == who.user_id else users.name_of(db, row.user_id)
        return QuotaError(
            f"{whose} would have {told}; that is the limit.",
            hint="What was removed counts until the server deletes it, after some days. The "
            "administrator can raise the limit.",
        )

    def _check(
        self, db: Db, who: Principal, row: HeldQuota | None, needs: Held, others: Held
    ) -> None:
        """Raise unless the quota has space for `needs` and the other reservations."""
        if row is None:
            return
        most_bytes, most_files = self.policy.bytes_of(row), self.policy.files_of(row)
        used = Held(row.used_bytes, row.used_files)
        taken = used.and_more(others)
        if needs.size and most_bytes is not None and taken.size + needs.size > most_bytes:
            raise self._used_up(db, who, row, _bytes_told(used, others, needs, most_bytes))
        if needs.files and most_files is not None and taken.files + needs.files > most_files:
            told = f"of {most_files} files, {taken.files} are there or on their way"
            raise self._used_up(db, who, row, told)

    def _used_up(self, db: Db, who: Principal, row: HeldQuota, told: str) -> QuotaError:
        if row.user_id == who.user_id:
            return QuotaError(f"Your quota is used up: {told}.")
        owner = users.name_of(db, row.user_id)
        return QuotaError(f"The quota of {owner}, in which this folder counts, is used up.")

    def renew(self) -> None:
        """Extend the reservations of open connections.

        A reservation that could not be released at the end of its connection then expires.
        """
        with self._lock:
            lines = list(self._lines)
        if lines:
            with self._database.write() as db:
                quotas.renew(db, lines, self._now_ms() + LEASE_MS)


def _crosses(before: int, now: int, most: int | None) -> bool:
    """Return whether an amount has reached nine tenths of a limit, and had not before."""
    return most is not None and before * 10 < most * 9 <= now * 10


def check_charged(db: Db, owner_id: int, row: HeldQuota | None) -> None:
    """Raise `ConflictError` if a user's tree does not count in `row`, which is locked.

    PostgreSQL may show a folder that was made after its owner was looked up for the lock.
    """
    if row is None or owner_id == row.user_id:
        return
    if quotas.payer_of(db, owner_id) != row.user_id:
        raise ConflictError("That folder was made in the meantime; try again.")


def _bytes_told(used: Held, others: Held, needs: Held, most: int) -> str:
    taken = f"{binary_size_text(used.size)} of {binary_size_text(most)} are taken"
    if others.size:
        taken += (
            f", {binary_size_text(others.size)} are reserved by uploads under way or unfinished"
        )
    return f"{taken}, and this needs {binary_size_text(needs.size)} more"
