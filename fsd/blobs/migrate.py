"""Copies blobs from a second store to the first one, while servers use both.

Each blob is compared with its root while it is copied, and is complete in the first store only if
it is as it was. So a run that was interrupted is repeated, and copies what is still missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fsd.blobs.base import BlobMissingError, UploadGoneError
from fsd.blobs.check import Hashed, StoredBytes
from fsd.blobs.stream import BlobStream
from fsd.store.repos import blobs as blob_rows
from fsd.store.repos import uploads
from fsproto.limits import SEGMENT_SIZE
from fsproto.types import Salt

if TYPE_CHECKING:
    from fsd.blobs.two_stores import TwoStores
    from fsd.store.engine import Database
    from fsd.store.repos.blobs import PlacedBlob

_SOME = 500
_PASSES = 5
"""Passes until one copies nothing: a server with earlier settings may still write."""


@dataclass
class Moved:
    """The result of a migration."""

    blobs: int = 0
    """Blobs that are in the first store now."""
    copied: int = 0
    copied_bytes: int = 0
    missing: list[str] = field(default_factory=list)
    """The roots, in hex, of blobs that are in no store."""
    damaged: list[str] = field(default_factory=list)
    """The roots, in hex, of damaged blobs, which were not copied."""


def copy_all(
    database: Database, stores: TwoStores, progress: Callable[[int], object] = lambda _bytes: None
) -> Moved:
    """Copy all blobs that only the second store has; `progress` is called with copied bytes."""
    copying = _Copying(database, stores, progress)
    copied, copied_bytes = 0, 0
    for _ in range(_PASSES):
        found = copying.once()
        copied, copied_bytes = copied + found.copied, copied_bytes + found.copied_bytes
        if not found.copied:
            break
    found.copied, found.copied_bytes = copied, copied_bytes
    return found


class _Copying:
    def __init__(
        self, database: Database, stores: TwoStores, progress: Callable[[int], object]
    ) -> None:
        self._database = database
        self._stores = stores
        self._progress = progress

    def once(self) -> Moved:
        """Copy what is missing; look at each blob once."""
        found = Moved()
        for row in self._rows():
            if self._stores.first.size(row.place) == row.size:
                found.blobs += 1
                continue
            try:
                is_whole = self._copy(row)
            except BlobMissingError:
                if self._is_current(row):
                    found.missing.append(row.root.hex())
                continue
            except UploadGoneError:  # it was deleted during the copy
                if self._is_current(row):
                    raise
                continue
            if is_whole and self._is_kept(row):
                found.blobs += 1
                found.copied += 1
                found.copied_bytes += row.size
            elif not is_whole and self._is_current(row):
                found.damaged.append(row.root.hex())
        return found

    def _copy(self, row: PlacedBlob) -> bool:
        """Copy a blob; False if it differs from its root, so that it was not copied."""
        stream = BlobStream(self._stores.first, row.place)
        try:
            with closing(StoredBytes(self._stores.second.open(row.place, row.size))) as source:
                hashed = Hashed(source, Salt(row.salt))
                while segment := hashed.read(SEGMENT_SIZE):
                    if stream.needs_part:
                        stream.end_part()
                    stream.write(segment)
                    self._progress(len(segment))
            if (hashed.root, hashed.size) != (row.root, row.size):
                stream.abort()
                return False
            stream.finish()
        except BaseException:
            stream.abort()
            raise
        stream.close()
        return True

    def _is_kept(self, row: PlacedBlob) -> bool:
        """Return whether a row still names the place of a copy; delete the copy if none does.

        A row that is deleted later has its blob deleted in both stores.
        """
        with self._database.read() as db:
            if uploads.known(db, [row.place]):
                return True
        self._stores.first.delete([row.place])
        return False

    def _is_current(self, row: PlacedBlob) -> bool:
        with self._database.read() as db:
            now = blob_rows.get(db, row.root)
            return now is not None and now.place == row.place

    def _rows(self) -> Iterator[PlacedBlob]:
        after = b""
        while True:
            with self._database.read() as db:
                some = blob_rows.placed_after(db, after, _SOME)
            yield from some
            if len(some) < _SOME:
                return
            after = some[-1].root
