"""Garbage collection: deletes leftovers of interruptions (staged blobs, blobs without a row).

It also deletes data whose retention has ended: older versions of files, removed nodes, and drops
that their person has not accepted. It deletes nothing else that a committed row names.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from fsd.blobs.base import BlobStore
from fsd.policies import DropPolicy, KeepPolicy
from fsd.store.engine import Database
from fsd.store.repos import blobs as blob_rows
from fsd.store.repos import drops, penalties, quotas, sessions, users, versions
from fsd.store.repos.many import helpings
from fsproto.errors import InternalError

log = logging.getLogger(__name__)

STAGED_S = 24 * 3600.0
"""Seconds that an upload may wait for its commit, or for its remaining data."""
ORPHAN_S = 3600.0
"""Time after which a stored blob without a row is deleted."""
USED_OTP_S = 24 * 3600.0
PENALTY_S = 24 * 3600.0
"""The longest time that a refused login is stored; policies forget it earlier."""


_FAILURES = 10
"""Blobs that the disk does not delete, before a run gives up."""


class Janitor:
    """The garbage collection of one database and one blob store."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        now_ms: Callable[[], int],
        keep: KeepPolicy | None = None,
        drops: DropPolicy | None = None,
    ) -> None:
        """Take the database, the blob store, and the retention policies."""
        self._drops = drops or DropPolicy()
        self._keep = keep or KeepPolicy()
        self._database = database
        self._blobs = blobs
        self._now_ms = now_ms
        self._stopped = threading.Event()

    def run(self, *, unkept_s: float = STAGED_S) -> None:
        """Collect once: `tidy` and `drop_expired`."""
        self.tidy(unkept_s=unkept_s)
        self.drop_expired()

    def stop(self) -> None:
        """End a deletion of expired data in another thread soon; a later run resumes it."""
        self._stopped.set()

    def tidy(self, *, unkept_s: float = STAGED_S) -> None:
        """Delete leftovers; also staged blobs that were never kept after `unkept_s` seconds.

        0 means that no upload is in progress, so blobs without a row are deleted at once too.
        Resumable uploads still keep their time.
        """
        now = self._now_ms()
        self._blobs.tidy(unkept_s, STAGED_S)
        with self._database.write() as db:
            stale = blob_rows.staged_before(db, now - int(STAGED_S * 1000))
            outside = blob_rows.drop(db, stale)
            sessions.tidy(db, now)
            quotas.tidy(db, now)
            penalties.tidy(db, now - int(PENALTY_S * 1000))
            users.drop_used(db, now - int(USED_OTP_S * 1000))
        self._delete(outside)
        lying = list(self._blobs.names(min(unkept_s, ORPHAN_S)))
        with self._database.read() as db:
            known = blob_rows.known(db, lying)
        orphans = set(lying) - known
        if orphans and not known:
            log.warning("the database knows none of the stored blobs; they are left alone")
            return
        self._delete(orphans)
        if stale or orphans:
            log.info("tidied up", extra={"count": len(stale) + len(orphans)})

    def drop_expired(self) -> None:
        """Delete data whose retention has ended, in many small transactions."""
        now = self._now_ms()
        self._drop_old(now)
        self._drop_unwanted(now)

    def _drop_old(self, now: int) -> None:
        until = self._keep.removed_before(now)
        with self._database.read() as db:
            removed = versions.removed_before(db, until)
        for some in helpings(removed):
            with self._database.write() as db:
                held = versions.hold_removed(db, some)
                versions.doom(db, [one.id for one in held if one.removed_by(until)])
        while not self._stopped.is_set() and self._drop_some():
            pass
        keep = self._keep.keep_versions
        with self._database.read() as db:
            many = versions.with_too_many(db, keep)
        for some in helpings(many):
            with self._database.write() as db:
                outside = versions.trim_some(db, some, keep)
            self._delete(outside)
        if removed:
            log.info("deleted removed files and folders for good", extra={"count": len(removed)})

    def _drop_some(self) -> bool:
        """Delete some of the nodes that are to be deleted for good; return whether there were."""
        with self._database.write() as db:
            some = versions.piece(db, versions.doomed(db), versions.PIECE)
            outside = versions.drop_removed(db, some)
        self._delete(outside)
        return bool(some)

    def _drop_unwanted(self, now: int) -> None:
        """Delete expired drops: those that were waiting for too long."""
        until = self._drops.before_ms(now)
        with self._database.read() as db:
            old = drops.older_than(db, until)
        if not old:
            return
        with self._database.write() as db:
            outside = drops.remove(db, old)
        self._delete(outside)
        log.info("deleted expired drops", extra={"count": len(old)})

    def _delete(self, roots: Iterable[bytes]) -> None:
        """Delete blobs; if the disk keeps a blob, it is an orphan, which a later run deletes."""
        failures = 0
        for root in roots:
            try:
                self._blobs.delete(root)
            except InternalError:  # which the log names
                failures += 1
                if failures == _FAILURES:
                    raise
