"""Upload journals on disk, with which the same command resumes an interrupted upload.

Each upload has one small file, `transfers/NAME` in the profile. NAME is a hash of server, user,
parent, name token and local path. The file contains:

    u32 length ‖ nonce 12 ‖ GCM(key, nonce, packed UploadRecord, NAME) ‖ leaf 0 ‖ leaf 1 ‖ …

The key is derived from the identity, so a thief of the disk cannot use the file keys in a journal.
Each leaf is written before its segment is sent, in one unbuffered write, so that every segment
that left this process is in the journal. Journals are not synced to disk: after a crash of the
machine their end may be missing. Therefore a journal is valid only until the next boot, and a
system without a boot ID has no journals.
"""

from __future__ import annotations

import os
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from fsclient.connection.retry import WORTH_KEEPING
from fsclient.profile_errors import profile_errors
from fsclient.session.session import Session
from fsclient.transfer.local.files import time_ns_of
from fsclient.transfer.local.locks import lock, remove_unless_held
from fsclient.transfer.local.source import Source
from fsproto import crypto, labels
from fsproto.errors import RemoteProtocolError
from fsproto.packing import Record, pack, unpack
from fsproto.types import FileKey, NodeId, NodeKey, Salt, Token

FORMAT = 1
OLDEST_S = 7 * 24 * 3600.0
"""Seconds; older journals are deleted. The server deletes unfinished uploads much earlier."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LENGTH = struct.Struct(">I")
_LONGEST_HEADER = 64 * 1024


class SourceStat(Record, frozen=True):
    """Attributes that must match for a local file to count as unchanged; not a proof."""

    path: bytes
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    boot: str


class Recorded(Record, frozen=True):
    """A started upload of a local file."""

    format: int
    facts: SourceStat


class UploadRecord(Recorded, frozen=True):
    """A started upload: its local file, its node and all its keys."""

    node: NodeId
    generation: int
    node_key: NodeKey
    version: int
    file_key: FileKey
    salt: Salt


R = TypeVar("R", bound=Recorded)


class JournalFile(Generic[R]):
    """The journal of one upload, locked by this process; `R` is what it records."""

    def __init__(self, path: Path, fd: int, key: bytes, facts: SourceStat, kind: type[R]) -> None:
        self._kind = kind
        self._path = path
        self._fd = fd
        self._aead = crypto.Aead(key)
        self._name = path.name.encode()
        self.facts = facts
        self.record: R | None = None
        """The recorded upload; None if no upload can be resumed."""
        self.leaves: list[bytes] = []
        """Leaves of the segments that may have been sent."""
        self._read()

    @property
    def is_open(self) -> bool:
        """Return whether the journal is neither removed nor closed."""
        return self._fd >= 0

    def begin(self, record: R) -> None:
        """Record a new upload; its keys must be unused."""
        self.record, self.leaves = record, []
        nonce = os.urandom(crypto.NONCE_SIZE)
        sealed = nonce + self._aead.seal(nonce, pack(record), self._name)
        try:
            os.ftruncate(self._fd, 0)
            os.lseek(self._fd, 0, os.SEEK_SET)
            self._write(_LENGTH.pack(len(sealed)) + sealed)
        except OSError:
            self.remove()

    def append(self, leaf: bytes) -> None:
        """Record the leaf of a segment before the segment is sent."""
        self.leaves.append(leaf)
        if self._fd >= 0:
            try:
                self._write(leaf)
            except OSError:
                self.remove()  # an incomplete journal could allow nonce reuse

    def remove(self) -> None:
        """Delete the journal: the upload is committed, or cannot be resumed.

        An error of ours if the disk is read-only: no segment may be sent then.
        """
        if self._fd >= 0:
            with profile_errors(self._path):
                self._path.unlink(missing_ok=True)
            self.leaves = []
            self.close()

    def close(self) -> None:
        """Close the journal and keep it for the next command."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, data: bytes) -> None:
        if os.write(self._fd, data) != len(data):
            raise OSError("there is no room")

    def _read(self) -> None:
        """Read the journal; ignore it if it is damaged, or of another boot or file."""
        with suppress(OSError):
            with os.fdopen(os.dup(self._fd), "rb") as file:
                file.seek(0)
                record = opened(self._aead, file.read(_LONGEST_HEADER), self._name, self._kind)
                if record is None or record[0].facts != self.facts:
                    return
                file.seek(record[1])
                rest = file.read()
            size = crypto.HASH_SIZE
            if len(rest) % size == 0:
                os.lseek(self._fd, 0, os.SEEK_END)
                self.record = record[0]
                self.leaves = [rest[at : at + size] for at in range(0, len(rest), size)]


Journal = JournalFile[UploadRecord]
"""The journal of an upload of a user."""


class Journals:
    """The upload journals of a profile."""

    def __init__(self, folder: Path, session: Session, *, keep: bool) -> None:
        """Use the journals in `folder`; without `keep`, delete each one instead of opening it."""
        self._folder = folder
        self._session = session
        self._keep = keep
        self._tidied = False

    def open(self, parent: NodeId, token: Token, source: Source) -> Journal | None:
        """Return the journal for uploading a file under a name, or None.

        None means that the file is small, the system has no boot ID, journals are not kept, another
        process uploads the same file, or the journal cannot be written.
        """
        boot = boot_id()
        if boot is None or source.stat.st_size < WORTH_KEEPING:
            return None
        where = os.fsencode(os.path.abspath(source.path))  # noqa: PTH100 - a link is not followed
        link, user = self._session.facts.link, self._session.identity.user.encode()
        told = (link.host_key.encode(), user, parent, token, where)
        sized = b"".join(_LENGTH.pack(len(part)) + part for part in told)
        path = self._folder / crypto.sha256(labels.JOURNAL, sized).hex()
        with suppress(OSError):
            if not self._keep:
                remove_unless_held(path)
                return None
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._tidy()
            fd = lock(path, make=True)
            if fd is not None:
                facts = facts_of_source(where, source.stat, boot)
                return Journal(path, fd, self._key(), facts, UploadRecord)
        return None

    def _key(self) -> bytes:
        return crypto.hkdf(self._session.identity.signing.seed, salt=b"", info=labels.JOURNAL)

    def _tidy(self) -> None:
        """Delete journals that are old, damaged, or whose local file is gone; once per command."""
        if self._tidied:
            return
        self._tidied = True
        aead = crypto.Aead(self._key())
        for path in self._folder.iterdir():
            with suppress(OSError):
                with path.open("rb") as file:
                    start = file.read(_LONGEST_HEADER)
                    record = opened(aead, start, path.name.encode(), UploadRecord)
                old = time.time() - path.stat().st_mtime > OLDEST_S
                if old or record is None or not os.path.lexists(record[0].facts.path):
                    remove_unless_held(path)


def opened(aead: crypto.Aead, data: bytes, name: bytes, kind: type[R]) -> tuple[R, int] | None:
    """Return a journal's record and the offset of its leaves; None if it is damaged."""
    if len(data) < _LENGTH.size:
        return None
    end = _LENGTH.size + _LENGTH.unpack_from(data)[0]
    nonce, sealed = data[_LENGTH.size :][: crypto.NONCE_SIZE], data[:end][_LENGTH.size :]
    if end > len(data) or len(nonce) < crypto.NONCE_SIZE:
        return None
    try:
        record = unpack(aead.open(nonce, sealed[crypto.NONCE_SIZE :], name), kind)
    except (crypto.CryptoError, RemoteProtocolError):
        return None
    return (record, end) if record.format == FORMAT else None


def facts_of_source(where: bytes, stat: os.stat_result, boot: str) -> SourceStat:
    """Return the attributes of a local file; `boot` is from `boot_id`."""
    return SourceStat(
        path=where,
        size=stat.st_size,
        mtime_ns=time_ns_of(stat),
        ctime_ns=stat.st_ctime_ns,
        inode=stat.st_ino,
        device=stat.st_dev,
        boot=boot,
    )


def boot_id() -> str | None:
    """Return the system's boot ID; None if it has none."""
    with suppress(OSError, UnicodeDecodeError):
        return _BOOT_ID.read_text("ascii").strip() or None
    return None
