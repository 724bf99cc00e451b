r"""The encryption of a backup: a Tink stream under a key derived from a passphrase.

    backup = "FSBACKUP1\n" ‖ u16 n ‖ head, n bytes ‖ stream
    head   = packed [kdf salt 16, passes, lanes, KiB, salt 32, commitment 32]
    key    = Argon2id(passphrase, kdf salt, passes, lanes, KiB)
    stream = as in `fsproto.sealed.stream`: file key `key`, the salt of the head, associated data
             "fs/2 backup" ‖ all that is in front of the stream

Both salts are drawn for each backup, so no key is ever used twice. A segment that was changed,
moved, left out or put behind the end is noticed where it is, a cut at the latest at the end: what
has been read counts only when `BackupDecryptor.finish` has returned. AES-GCM does not commit to its
key; the commitment tells a wrong passphrase from damage.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

from fsproto import crypto, labels
from fsproto.errors import FsError, IntegrityError, WrongPassphraseError
from fsproto.limits import SEGMENT_SIZE
from fsproto.packing import Record, pack, unpack
from fsproto.sealed.stream import (
    HEADER_SIZE,
    StreamOpener,
    StreamSealer,
    key_commitment,
    plain_length,
)
from fsproto.types import FileKey, Salt

if TYPE_CHECKING:
    from fsproto.types import Random

MAGIC = b"FSBACKUP1\n"
_PASSES, _LANES, _MEMORY_KIB = 3, 4, 64 * 1024
"""The second recommendation of RFC 9106, section 4."""
_MAX_PASSES, _MAX_LANES, _MAX_MEMORY_KIB = 16, 16, 1024 * 1024
_LENGTH = struct.Struct(">H")


class _Head(Record, frozen=True):
    kdf_salt: bytes
    passes: int
    lanes: int
    memory_kib: int
    salt: bytes
    commitment: bytes


class BackupEncryptor:
    """An encryptor that seals written bytes, a segment at a time, in constant memory."""

    def __init__(self, file: BinaryIO, passphrase: str, random: Random) -> None:
        """Write the head to `file`, which need not be seekable."""
        kdf_salt, salt = random(16), Salt(random(32))
        key = _key(passphrase, kdf_salt, _PASSES, _LANES, _MEMORY_KIB)
        commitment = key_commitment(key, salt)
        head = pack(_Head(kdf_salt, _PASSES, _LANES, _MEMORY_KIB, salt, commitment))
        start = MAGIC + _LENGTH.pack(len(head)) + head
        file.write(start)
        self._file = file
        self._sealer = StreamSealer(key, labels.BACKUP + start, salt)
        self._waiting = bytearray()
        self._index = 0
        self.size = len(start)
        """Bytes written so far."""

    def write(self, data: bytes) -> int:
        """Take bytes; a full segment is sealed once it is known not to be the last."""
        self._waiting += data
        while len(self._waiting) > (room := plain_length(self._index)):
            self._put(room, last=False)
        return len(data)

    def finish(self) -> None:
        """Write the last segment."""
        self._put(len(self._waiting), last=True)

    def _put(self, count: int, *, last: bool) -> None:
        segment = self._sealer.seal(self._index, bytes(self._waiting[:count]), last=last)
        self._file.write(segment)
        self.size += len(segment)
        del self._waiting[:count]
        self._index += 1


class BackupDecryptor:
    """Opens a backup, a segment at a time."""

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        """Read the head.

        `WrongPassphraseError`, or `IntegrityError` for a file that is no backup.
        """
        self._file = file
        start = _exactly(file, len(MAGIC) + _LENGTH.size)
        if not start.startswith(MAGIC):
            raise IntegrityError("This is not a backup of an fsd.")
        head = _exactly(file, _LENGTH.unpack_from(start, len(MAGIC))[0])
        read = _read_head(head)
        key = _key(passphrase, read.kdf_salt, read.passes, read.lanes, read.memory_kib)
        if not crypto.equal(read.commitment, key_commitment(key, read.salt)):
            raise WrongPassphraseError("Wrong passphrase for this backup.")
        self._next = file.read(SEGMENT_SIZE)
        binding = labels.BACKUP + start + head
        self._opener = StreamOpener(key, binding, self._next[:HEADER_SIZE])
        self._index = 0
        self._plain = b""
        self._over = False

    def read(self, count: int) -> bytes:
        """Return the next bytes, fewer than `count` at the end of a segment; none at the end.

        `IntegrityError` for a segment that is not as it was written.
        """
        while not self._plain and not self._over:
            self._plain = self._open_next()
        given, self._plain = self._plain[:count], self._plain[count:]
        return given

    def finish(self) -> None:
        """Read to the end; `IntegrityError` if anything is missing or too much."""
        while self.read(SEGMENT_SIZE):
            pass

    def _open_next(self) -> bytes:
        segment, self._next = self._next, b""
        if len(segment) == SEGMENT_SIZE:
            self._next = self._file.read(SEGMENT_SIZE)
        self._over = not self._next
        try:
            plain = self._opener.open(self._index, segment, last=self._over)
        except FsError:
            raise IntegrityError(
                "The backup was cut short or changed; nothing of it was used.",
                hint="Try another copy of it.",
            ) from None
        self._index += 1
        return plain


def _read_head(data: bytes) -> _Head:
    try:
        head = unpack(data, _Head)
    except FsError:
        raise _no_head() from None
    # Unauthenticated parameters must not cause hours of computation or exhaust the memory.
    if not (
        0 < head.passes <= _MAX_PASSES
        and 0 < head.lanes <= _MAX_LANES
        and 8 * head.lanes <= head.memory_kib <= _MAX_MEMORY_KIB
        and len(head.kdf_salt) >= 8  # noqa: PLR2004 - the shortest that Argon2 takes
    ):
        raise _no_head()
    return head


def _no_head() -> IntegrityError:
    return IntegrityError("The beginning of the backup is damaged.")


def _key(passphrase: str, salt: bytes, passes: int, lanes: int, memory_kib: int) -> FileKey:
    return FileKey(
        crypto.argon2id(
            passphrase.encode("utf-8", "surrogateescape"),
            salt=salt,
            passes=passes,
            lanes=lanes,
            memory_kib=memory_kib,
        )
    )


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise IntegrityError("This is not a backup of an fsd, or only the beginning of one.")
    return data
