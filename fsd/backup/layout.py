"""The layout of a backup: a tar file whose members have these names, in this order.

head.json                facts about the backup: version, time, counts
keys/NAME                host.key, master.key, log.key; host.moves, hook.key, SSH host keys if there
                         are any
fsd.toml                 the configuration in the data directory, if there is one
rows/TABLE/00000000      rows, packed (see `rows`)
numbers.json             the last id that each table has given
blobs/ROOT               blobs outside the database, unchanged
end.json                 the missing and damaged blobs
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, TypeVar, cast

import msgspec

from fsd.backup.encrypt import BackupDecryptor
from fsproto.errors import IntegrityError
from fsproto.limits import SEGMENT_SIZE

T = TypeVar("T")

FORMAT = 1
HEAD, NUMBERS, END = "head.json", "numbers.json", "end.json"
_NAMES = re.compile(
    r"head\.json|keys/(?:host\.key|master\.key|log\.key|hook\.key|host\.moves|ssh_host_(?:ed25519|rsa)_key)"
    r"|fsd\.toml|rows/[a-z_]{1,63}/[0-9]{8}|numbers\.json|blobs/[0-9a-f]{64}|end\.json"
)


class BackupHeader(msgspec.Struct, frozen=True):
    """The facts about a backup, at its start."""

    format: int
    made_ms: int
    version: str
    """The version of the fsd that made the backup."""
    revision: str
    """The revision of the database's schema."""
    host_key: str
    """The fingerprint of the host key."""
    elsewhere: bool
    """Whether the database was outside the data directory."""
    people: int
    files: int
    """The number of existing files."""
    blobs: int
    """The number of blobs outside the database, with those of older versions."""
    blob_bytes: int


class BackupTrailer(msgspec.Struct, frozen=True):
    """The roots of missing and of damaged blobs, in hex."""

    missing: list[str]
    damaged: list[str]


@dataclass(frozen=True)
class BackupPart:
    """One part of a backup that is being read."""

    name: str
    size: int
    file: IO[bytes]

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes of the part; `IntegrityError` if the backup ends before the part."""
        try:
            while piece := self.file.read(SEGMENT_SIZE):
                yield piece
        except tarfile.TarError:
            raise _unreadable() from None

    def whole(self) -> bytes:
        """Return the bytes of the part, as `pieces` does; only for small parts."""
        return b"".join(self.pieces())


def members(source: BackupDecryptor) -> Iterator[BackupPart]:
    """Yield the parts of a backup, to be read in order; `IntegrityError` if one is invalid."""
    try:
        with tarfile.open(fileobj=cast("Any", source), mode="r|", bufsize=SEGMENT_SIZE) as tar:
            while (found := tar.next()) is not None:
                cast("Any", tar).members.clear()  # else it keeps all of them in memory
                file = tar.extractfile(found) if found.isfile() else None
                if file is None or not _NAMES.fullmatch(found.name):
                    raise IntegrityError("The backup contains an unknown part.")
                yield BackupPart(found.name, found.size, file)
    except tarfile.TarError:
        raise _unreadable() from None
    source.finish()


def _unreadable() -> IntegrityError:
    return IntegrityError("The parts of the backup cannot be read.")


def as_json(value: object) -> bytes:
    """Pack one of the parts that are JSON."""
    return json.dumps(msgspec.to_builtins(value), indent=1).encode()
