"""Inputs that the fuzzing of some parsers starts from, taken from the vectors or made from them.

Each parser accepts one of them at least; otherwise the fuzzing would only try its first check.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import msgspec

from fsd.backup import encrypt
from fsproto import crypto, host_key_moves, labels
from fsproto.errors import FsError
from fsproto.keys.key_file import needs_passphrase, open_identity
from fsproto.keys.portable import pack_portable
from fsproto.keys.private import pack_identity
from fsproto.keys.recovery import RecoverySecret
from fsproto.links.description import Description
from fsproto.packing import pack, unpack
from fsproto.requests.description import RequestDescription
from fsproto.requests.drop import RequestNote
from fsproto.sealed.manifest import Dropped, DroppedMetadata, Manifest, Metadata, Mode
from fsproto.sealed.stream import StreamSealer, key_commitment, sealed_size
from fsproto.types import DropId, FileKey, Salt
from fsproto.wire.records import CONTROL, CONTROL_HEADER
from tests.support import connection_pair
from tests.support.fixed_keys import host_key, rsa_key
from tests.vectors import HERE
from tests.vectors.fields import from_json

FILE_KEY = FileKey(bytes(32))
"""The key of the sealed content."""
PASSPHRASE = "passphrase"
"""That of the backups."""


@cache
def vectors(name: str) -> Any:
    return json.loads((HERE / f"{name}.json").read_text("utf-8"))["vectors"]


def byte_strings(value: Any) -> Iterator[bytes]:
    """Yield the strings of some vectors: those in hexadecimal as bytes, others as UTF-8."""
    match value:
        case str():
            try:
                yield bytes.fromhex(value)
            except ValueError:
                yield value.encode("utf-8", "surrogatepass")
        case list():
            for one in value:
                yield from byte_strings(one)
        case dict():
            for one in value.values():
                yield from byte_strings(one)


def handshake() -> tuple[bytes, bytes]:
    """Return all bytes that a client, and all that a server sends until their channel is open.

    Only the hellos are right for other ends with the same seeds: the rest has other randomness.
    """
    client, server = connection_pair.ends()
    sent = [client.start()]
    answers: list[bytes] = []
    while sent[-1]:
        answers.append(connection_pair.replies(server, sent[-1]))
        sent.append(connection_pair.replies(client, answers[-1]))
    return b"".join(sent), b"".join(answers)


def encoded_messages() -> Iterator[bytes]:
    """Yield the messages in the plaintexts of records."""
    for one in byte_strings(vectors("messages")):
        if one[:1] == bytes([CONTROL]):
            yield one[CONTROL_HEADER.size :]


def descriptions() -> Iterator[bytes]:
    """Yield the descriptions of public links, without their seal."""
    for one in vectors("publiclink"):
        if "fields" in one:
            yield pack(from_json(Description, one["fields"]))


def requests() -> Iterator[bytes]:
    """Yield the descriptions of request links, without their seal."""
    for one in vectors("requestlink"):
        if "fields" in one:
            yield pack(from_json(RequestDescription, one["fields"]))


def request_notes() -> Iterator[bytes]:
    """Yield the notes of files sent with request links, without their seal."""
    for one in vectors("requestdrop"):
        if "fields" in one:
            yield pack(from_json(RequestNote, one["fields"]))


WEB = (
    b"GET /l HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /l/1/AAAAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\nHost: a\r\nAuthorization: FS-Proof AAAA\r\n\r\n",
    (
        b"GET /l/1/AAAAAAAAAAAAAAAAAAAAAA/AAAA HTTP/1.1\r\nHost: a\r\nAuthorization: FS-Ticket AAAA"
        b"\r\nRange: bytes=1-5\r\nX-Forwarded-For: 192.0.2.1, ::1\r\n\r\n"
    ),
    (
        b"PUT /r/1/AAAAAAAAAAAAAAAAAAAAAA/AAAAAAAAAAAAAAAAAAAAAA/0 HTTP/1.1\r\nHost: a\r\n"
        b"Authorization: FS-Ticket AAAA\r\nContent-Length: 17\r\n\r\n"
    ),
)
"""Requests of receivers of public links, and of uploaders."""

_PROXY_START = bytes.fromhex("0d0a0d0a000d0a515549540a")
PROXY = (
    b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n",
    b"PROXY TCP6 2001:db8::7 ::1 56324 443\r\n",
    b"PROXY UNKNOWN\r\n",
    _PROXY_START + bytes.fromhex("2111000cc0000207c0000201dc0401bb"),
    _PROXY_START + bytes.fromhex("21210024") + bytes(36),
    _PROXY_START + bytes.fromhex("20000000"),
)
"""Headers of a load balancer."""


def plain_metadata() -> Iterator[bytes]:
    """Yield metadata of a file, of a folder, and of a file that came through the drop box."""
    key = FileKey(bytes(32))
    dropped = Dropped(DropId(bytes(16)), 1, "SHA256:x", "label", "::1")
    sizes = [one.content.sealed_size - sealed_size(0) for one in manifests() if one.content]
    for size in sizes:
        yield pack(Metadata("name", size, 1, Mode.REGULAR, key))
        yield pack(DroppedMetadata("name", size, 1, Mode.EXECUTABLE, key, dropped))
    yield pack(Metadata("name", 0, 1, Mode.REGULAR, None))


@cache
def manifests() -> list[Manifest]:
    """Return a manifest of a folder and one of a file."""
    found: dict[bool, Manifest] = {}
    for one in byte_strings(vectors("manifest")):
        with suppress(FsError):
            manifest = unpack(one, Manifest)
            found.setdefault(manifest.content is None, manifest)
    return list(found.values())


def proofs() -> Iterator[bytes]:
    """Yield each proof behind its root."""
    for one in vectors("proof"):
        yield bytes.fromhex(one["root"]) + bytes.fromhex(one["proof"])


def logs() -> Iterator[bytes]:
    """Yield short logs, of entries that may follow each other."""
    known = [(each["index"], bytes.fromhex(each["entry"])) for each in vectors("entry")]
    for index, last in known:
        before = [next((data for at, data in known if at == n), b"") for n in range(index)]
        yield msgspec.msgpack.encode([*before, last])


def sealed_content() -> Iterator[bytes]:
    """Yield sealed content of one segment."""
    for plain in (b"", b"plain", bytes(1000)):
        yield StreamSealer(FILE_KEY, b"", Salt(bytes(32))).seal(0, plain, last=True)


def carried() -> Iterator[bytes]:
    """Yield what travels between machines, unsealed: an identity, and a profile with it."""
    files = [bytes.fromhex(one["keyfile"]) for one in vectors("keyfile") if not one["error"]]
    keys = [open_identity(one, None) for one in files if not needs_passphrase(one)]
    for one in keys:
        yield pack_identity(one)
    for one in vectors("recovery"):
        if not one["error"]:
            secret = RecoverySecret(one["user"], bytes.fromhex(one["secret"]))
            yield pack_portable(secret.open(bytes.fromhex(one["backup"])))


def backups() -> Iterator[bytes]:
    """Yield small backups under a key that costs little."""
    kdf_salt, salt, cost = bytes(16), Salt(bytes(32)), (1, 1, 8)
    key = encrypt._key(PASSPHRASE, kdf_salt, *cost)
    head = pack(encrypt._Head(kdf_salt, *cost, salt, key_commitment(key, salt)))
    start = encrypt.MAGIC + len(head).to_bytes(2, "big") + head
    for plain in (b"", archive()):
        sealer = StreamSealer(key, labels.BACKUP + start, salt)
        yield start + sealer.seal(0, plain, last=True)


def host_key_answer() -> bytes:
    """Return the answer of a server whose host key was changed once."""
    after = rsa_key("other-host").public
    move = host_key_moves.sign_move(host_key(), after, 1)
    asked = host_key_moves.question(crypto.sha256(host_key().public))
    return host_key_moves.answer(asked, [move], after)


def archive() -> bytes:
    """Return a small archive with names that a backup has."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("head.json", "rows/users/00000000", "end.json"):
            member = tarfile.TarInfo(name)
            member.size = 2
            tar.addfile(member, io.BytesIO(b"{}"))
    return out.getvalue()
