"""Garbage collection: deletes the leftovers of interruptions, which the database names.

It lists no blobs: it deletes what the database names, so it leaves alone what another server is
storing. It also deletes data whose retention has ended: older versions of files, removed nodes, and
drops that their person has not accepted. It deletes nothing else that a committed row names.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from fsd.blobs.base import BlobStore, release
from fsd.policies import DropPolicy, KeepPolicy
from fsd.store.engine import Database
from fsd.store.repos import blobs as blob_rows
from fsd.store.repos import (
    drops,
    links,
    penalties,
    pending_removals,
    quotas,
    requests,
    sessions,
    uploads,
    users,
    versions,
)
from fsd.store.repos.many import helpings
from fsproto.limits import PUBLIC_LINK_TICKET_S

log = logging.getLogger(__name__)

STAGED_S = 24 * 3600.0
"""Seconds that an upload may wait for its commit, or for its remaining data."""
ABANDONED_S = 7 * 24 * 3600.0
"""Time after which staged data is deleted that the database may not name, of earlier releases."""
USED_OTP_S = 24 * 3600.0
PENALTY_S = 24 * 3600.0
"""The longest time that a refused login is stored; policies forget it earlier."""

INCOMPLETE_LINK_S = 3600.0
"""Time after which a public link without all parts is deleted."""

_MOST = 1000
"""Places that are emptied at a time."""


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

    def run(self) -> None:
        """Collect once: `tidy`, `drop_expired` and `empty`."""
        self.tidy()
        self.drop_expired()
        self.empty()

    def stop(self) -> None:
        """End a deletion of expired data in another thread soon; a later run resumes it."""
        self._stopped.set()

    def tidy(self) -> None:
        """Delete the rows of what was interrupted or has ended; it takes one short transaction."""
        now = self._now_ms()
        before = now - int(STAGED_S * 1000)
        with self._database.write() as db:
            stale = blob_rows.staged_before(db, before)
            blob_rows.drop(db, stale)
            uploads.drop_stale(db, before)
            sessions.tidy(db, now)
            quotas.tidy(db, now)
            penalties.tidy(db, now - int(PENALTY_S * 1000))
            links.tidy(db, now, int(INCOMPLETE_LINK_S * 1000), PUBLIC_LINK_TICKET_S * 1000)
            requests.tidy(db, now, before)
            users.drop_used(db, now - int(USED_OTP_S * 1000))
        if stale:
            log.info("tidied up", extra={"count": len(stale)})

    def drop_expired(self) -> None:
        """Delete data whose retention has ended, in many small transactions."""
        now = self._now_ms()
        self._drop_old(now)
        self._drop_unwanted(now)

    def empty(self) -> None:
        """Delete the blobs that no row names any longer; the blob store may fail."""
        emptied = self._empty(self._now_ms())
        self._blobs.tidy(ABANDONED_S)
        if emptied:
            log.info("deleted blobs", extra={"count": emptied})

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
            release(self._blobs, outside)
        if removed:
            log.info("deleted removed files and folders for good", extra={"count": len(removed)})

    def _drop_some(self) -> bool:
        """Delete some of the nodes that are to be deleted for good; return whether there were.

        Before that, mark what is below removed folders.
        """
        with self._database.write() as db:
            if pending_removals.mark_some(db):
                return True
            some = versions.piece(db, versions.doomed(db), versions.PIECE)
            outside = versions.drop_removed(db, some)
        release(self._blobs, outside)
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
        release(self._blobs, outside)
        log.info("deleted expired drops", extra={"count": len(old)})

    def _empty(self, now: int) -> int:
        """Delete what is at the doomed places that are due; return how many there were.

        A place is marked first, in a transaction of its own, so that no upload can claim it while
        its blob is deleted. Several servers may delete the same blob; no place is used twice.
        """
        emptied = 0
        after_ms = int(self._blobs.delete_after_s * 1000)
        while True:
            with self._database.write() as db:
                places = uploads.collect(db, now, after_ms, _MOST)
            empty = self._blobs.delete(places)
            if empty:
                with self._database.write() as db:
                    uploads.forget(db, empty)
            emptied += len(empty)
            if len(empty) < _MOST:
                return emptied
