"""Uploads with request links that this server has in memory.

An upload that a server does not have is taken over from another one, or from an earlier connection,
as those of users are (`fsd.services.files.uploads`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from fsd.services.files.staged_upload import StagedUpload
from fsd.services.files.uploads import StagedUploads
from fsd.store.repos import requests as rows
from fsd.store.request_models import RequestFile
from fsproto.types import DropId, RequestId, Salt

_IDLE_MS = 60_000
"""An upload to which nothing was sent for so long is written down and forgotten in memory."""
_LOCKS = 64


class ReceivingUpload:
    """An upload that this server has in memory."""

    def __init__(self, blob: StagedUpload, row: RequestFile, now_ms: int) -> None:
        self.blob = blob
        self.request = RequestId(row.request_id)
        self.size = row.size
        self.lock = threading.Lock()
        """Held while a segment is added, and while the upload ends."""
        self.used_ms = now_ms
        self.touched_ms = now_ms


class ReceivingUploads:
    """All uploads that this server has in memory; for any thread."""

    def __init__(self, incoming: StagedUploads, now_ms: Callable[[], int]) -> None:
        """Take where their bytes go, and the clock."""
        self._incoming = incoming
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._active: dict[DropId, ReceivingUpload] = {}
        self._opening = [threading.Lock() for _ in range(_LOCKS)]
        """Held while an upload is taken over; each for some of the drop ids."""

    def find(self, request: RequestId, drop: DropId) -> ReceivingUpload | None:
        """Return an upload with a request link, if this server has it."""
        with self._lock:
            one = self._active.get(drop)
        return one if one is not None and not one.blob.over and one.request == request else None

    def open(self, row: RequestFile) -> ReceivingUpload:
        """Return the upload of a file, taken over if need be."""
        drop, owner, salt = DropId(row.drop_id), rows.uploads_of(row.user_id), Salt(row.salt)
        with self._opening[drop[0] % _LOCKS]:  # two connections must not start it twice
            with self._lock:
                one = self._active.get(drop)
            if one is None or one.blob.over:
                found = self._incoming.resume(owner, salt)
                blob = found[0] if found else self._incoming.begin(owner, salt, resumable=True)
                one = ReceivingUpload(blob, row, self._now_ms())
                with self._lock:
                    self._active[drop] = one
        return one

    def suspend(self, drop: DropId, one: ReceivingUpload) -> None:
        """Write down what was received, for a later connection; the lock is held."""
        self.leave(drop, one)
        self._incoming.suspend(one.blob)

    def leave(self, drop: DropId, one: ReceivingUpload) -> None:
        """Forget an upload that ends."""
        with self._lock:
            if self._active.get(drop) is one:
                del self._active[drop]

    def discard(self, drop: DropId) -> None:
        """Discard what this server has of an upload."""
        with self._lock:
            one = self._active.pop(drop, None)
        if one is not None:
            with one.lock:
                self._incoming.discard(one.blob)

    def renew(self) -> None:
        """Extend the leases of uploads, and write down abandoned ones."""
        now = self._now_ms()
        with self._lock:
            idle = [(d, one) for d, one in self._active.items() if now - one.used_ms >= _IDLE_MS]
        self._suspend_all(idle)
        self._incoming.renew()

    def close(self) -> None:
        """Write down all uploads, at the end of the server."""
        with self._lock:
            left = list(self._active.items())
        self._suspend_all(left)

    def _suspend_all(self, some: list[tuple[DropId, ReceivingUpload]]) -> None:
        for drop, one in some:
            with one.lock:
                self.suspend(drop, one)
