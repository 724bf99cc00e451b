"""Journals of uploads with request links, in the user's folder for caches; without a profile.

They are sealed under a key that follows from the mark of the request link, so they open nothing
without its URL.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from fsclient.connection.retry import WORTH_KEEPING
from fsclient.transfer.journal import (
    OLDEST_S,
    JournalFile,
    Recorded,
    boot_id,
    facts_of_source,
)
from fsclient.transfer.local.locks import lock, remove_unless_held
from fsclient.transfer.local.source import Source
from fskit.user_folders import default_folder
from fsproto import crypto, labels
from fsproto.requests.secret import RequestKeys
from fsproto.types import DropId, Salt


class SentRecord(Recorded, frozen=True):
    """A started upload of a drop, with what its keys follow from."""

    drop: DropId
    secret: bytes
    salt: Salt
    wrapped: bytes


class SentJournals:
    """The journals of uploads with one request link."""

    def __init__(self, keys: RequestKeys, *, keep: bool) -> None:
        """Without `keep`, delete each journal instead of opening it."""
        self._keys = keys
        self._keep = keep
        self._key = crypto.hkdf(keys.mark, salt=b"", info=labels.REQUEST_JOURNAL)
        self._folder = _folder()

    def open(self, source: Source, name: str) -> JournalFile[SentRecord] | None:
        """Return the journal for sending a file under a name, or None.

        None means that the file is small, that there is no place for journals, or that another
        process sends the same file.
        """
        boot = boot_id()
        if boot is None or self._folder is None or source.stat.st_size < WORTH_KEEPING:
            return None
        where = os.fsencode(os.path.abspath(source.path))  # noqa: PTH100 - a link is not followed
        parts = (self._keys.id, len(where).to_bytes(4, "big"), where, name.encode())
        path = self._folder / crypto.sha256(labels.REQUEST_JOURNAL, *parts).hex()
        with suppress(OSError):
            if not self._keep:
                remove_unless_held(path)
                return None
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._tidy()
            fd = lock(path, make=True)
            if fd is not None:
                facts = facts_of_source(where, source.stat, boot)
                return JournalFile(path, fd, self._key, facts, SentRecord)
        return None

    def _tidy(self) -> None:
        """Delete old journals, of any request link."""
        for path in self._folder.iterdir() if self._folder else ():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > OLDEST_S:
                    remove_unless_held(path)


def _folder() -> Path | None:
    import platformdirs

    found = default_folder(lambda: platformdirs.user_cache_dir("fsclient", appauthor=False))
    return None if found is None else found / "sending"
