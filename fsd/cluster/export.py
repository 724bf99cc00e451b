r"""An exported node: what another machine needs to run a node of this server, in one file.

    export = "FSNODE1\n" ‖ packed [kdf, nonce 12, body, check 32]
    body   = AES-256-GCM of packed [format 1, server, master key 32, database], under the passphrase
    check  = SHA-256("fs/2 node export" ‖ packed kdf ‖ nonce ‖ body)

`server` distinguishes servers: the hash of the public log key. `database` is the URL without its
password; the other keys are in the database, sealed under the master key. The check distinguishes
a damaged file from a wrong passphrase; AES-GCM detects deliberate changes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import select

from fsd.blobs.local import LocalBlobs
from fsd.home.home import JOINS, LOG_KEY, MASTER_KEY, HomeError
from fsd.store.models import Blob
from fsproto import crypto, labels
from fsproto.errors import ConflictError, FsError
from fsproto.keys.sealed_file import SealedFile
from fsproto.packing import Record, pack, unpack

if TYPE_CHECKING:
    from fsd.blobs.base import BlobStore
    from fsd.home.home import Home
    from fsd.store.engine import Database
    from fsproto.types import Random

MAGIC = b"FSNODE1\n"
MAX_EXPORT = 1 << 16
FORMAT = 1


class NodeSecrets(Record, frozen=True):
    """The content of an export."""

    format: int
    server: str
    master_key: bytes
    database: str


_EXPORT = SealedFile(
    MAGIC, labels.NODE_EXPORT, MAX_EXPORT, "exported node", "fsadmin node export FILE"
)


def seal_node(home: Home, server: str, database: str, passphrase: str, random: Random) -> bytes:
    """Return the bytes of an export of a data directory's server."""
    body = pack(NodeSecrets(FORMAT, server, home.master_key(), database))
    return _EXPORT.seal(body, passphrase, random)


def open_node(data: bytes, passphrase: str) -> NodeSecrets:
    """Return the content of an export; `WrongPassphraseError`, or `IntegrityError` for damage."""
    plain = _EXPORT.open(data, passphrase)
    try:
        found = unpack(plain, NodeSecrets)
    except FsError:
        raise _EXPORT.damaged() from None
    if found.format != FORMAT or len(found.master_key) != crypto.KEY_SIZE:
        raise _EXPORT.damaged()
    return found


def import_node(home: Home, secrets: NodeSecrets) -> bool:
    """Store an export in a data directory; return whether the directory is new.

    An existing one of the same server takes the master key. `ConflictError` for anything else.
    """
    if _exists(home):
        if server_name(home) != secrets.server:
            raise ConflictError(
                f"{home.path} is of another server; nothing was done.",
                hint="Give a new data directory with --home.",
            )
        with home.lock(), home.keys(exclusive=True):
            home.replace(MASTER_KEY, secrets.master_key)
        return False
    home.prepare_import()
    home.replace(JOINS, json.dumps({"server": secrets.server}).encode())
    home.note_run("", secrets.database)
    home.replace(MASTER_KEY, secrets.master_key)
    return True


def check_contents(home: Home, database: Database, blobs: BlobStore) -> None:
    """Raise `HomeError` if an imported node that starts does not share the contents of files."""
    with home.explained():
        joins = (home.path / JOINS).exists()
    if not joins or not isinstance(blobs, LocalBlobs):
        return
    with database.read() as db:
        place = db.scalar(select(Blob.place).where(Blob.place.is_not(None)).limit(1))
    if place is not None and not any(home.blobs.glob("??/*")):
        raise HomeError(
            f"{home.blobs} is empty, but the database names contents of files.",
            hint="Mount or link the folder blobs/ of the other nodes there, or set blobs.store.",
        )


def server_name(home: Home) -> str:
    """Return a name that all nodes of a server share, and no other server has."""
    return crypto.sha256(b"fsd blobs", home.log_key().public).hex()


def _exists(home: Home) -> bool:
    """Return whether there is a server; `HomeError` if there is anything else."""
    with home.explained():
        if not home.path.is_dir() or not any(home.path.iterdir()):
            return False
        if (home.path / LOG_KEY).exists():
            return True
    raise HomeError(
        f"{home.path} is not empty; nothing was done.",
        hint="Give a new data directory with --home.",
    )
