"""The parsers that are fuzzed, what each may raise, and the seeds, taken from the test vectors.

A parser takes any bytes. It returns, or raises one of its documented errors; anything else is a
fault. Where a value has one encoding, what was read must be packed to the same bytes again.
"""

from __future__ import annotations

import base64
import io
import json
import struct
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from fsclient.session.otp import CodeSource
from fsclient.ui import Ui
from fsd.backup import layout
from fsd.backup.encrypt import BackupDecryptor
from fsd.settings.load import Wanted, load
from fskit.sftp.packets import BadPacketError, Fields, Packets, packet
from fsproto import crypto, host_key_moves, labels, messages
from fsproto.drop import Drop, DropContent
from fsproto.errors import FsError
from fsproto.keylog.head import KeyLogHead, unpack_log_head
from fsproto.keys.export import check_export
from fsproto.keys.grants import RootGrant
from fsproto.keys.identity import Bundle, verify_bundle
from fsproto.keys.key_file import needs_passphrase
from fsproto.keys.member_list import GroupedList, MemberList, stated_members, verify_members
from fsproto.keys.portable import unpack_people, unpack_portable, unpack_seen
from fsproto.keys.private import unpack_identity
from fsproto.keys.recovery import RecoverySecret
from fsproto.keys.ssh_keys import read_ssh_key
from fsproto.link import parse_address, parse_link
from fsproto.names import clean_name, drop_parts, for_terminal, parse_path
from fsproto.packing import Record, pack, unpack
from fsproto.proofs.prefix_tree import PrefixTree
from fsproto.sealed.folder import FolderState, verify_state
from fsproto.sealed.manifest import (
    Manifest,
    Metadata,
    manifest_hash,
    open_metadata,
    pinned_manifest,
)
from fsproto.sealed.stream import HEADER_SIZE, StreamOpener
from fsproto.signed import Signed
from fsproto.types import FileKey, Hash, NodeId
from fsproto.wire.connection import NEED_DATA
from tests.support import connection_pair
from tests.support.fixed_keys import stretch
from tests.support.key_logs import key_log
from tests.vectors import HERE

_NODE = NodeId(stretch("node", 16))
_KEY = bytes(32)
_RECORDS: tuple[type[Record], ...] = (
    Bundle,
    Drop,
    DropContent,
    FolderState,
    GroupedList,
    KeyLogHead,
    Manifest,
    MemberList,
    Metadata,
    RootGrant,
    Signed,
)


@dataclass(frozen=True)
class Target:
    """A parser to fuzz."""

    run: Callable[[bytes], object]
    vectors: tuple[str, ...] = ()
    """Files of test vectors, whose byte strings are seeds."""
    also: tuple[bytes, ...] = ()
    """Further seeds."""
    raises: tuple[type[Exception], ...] = (FsError,)
    packed: bool = False
    """Whether inputs are packed values, which `mutate` changes as such."""

    def seeds(self) -> list[bytes]:
        """Return the inputs that the fuzzing starts from."""
        found = [seed for name in self.vectors for seed in _byte_strings(_vectors(name))]
        return [b"", *dict.fromkeys([*self.also, *found])]

    def __call__(self, data: bytes) -> None:
        """Parse an input; raise whatever is a fault."""
        with suppress(*self.raises):
            self.run(data)


@cache
def _vectors(name: str) -> Any:
    return json.loads((HERE / f"{name}.json").read_text("utf-8"))["vectors"]


def _byte_strings(value: Any) -> Iterator[bytes]:
    """Yield the strings of some vectors: those in hexadecimal as bytes, others as UTF-8."""
    match value:
        case str():
            try:
                yield bytes.fromhex(value)
            except ValueError:
                yield value.encode("utf-8", "surrogatepass")
        case list():
            for one in value:
                yield from _byte_strings(one)
        case dict():
            for one in value.values():
                yield from _byte_strings(one)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


# --- the channel


def _client_hello(data: bytes) -> None:
    end = connection_pair.server_end()
    list(connection_pair.events(end, data))


def _server_hello(data: bytes) -> None:
    end = connection_pair.client_end()
    end.start()
    list(connection_pair.events(end, data))


def _record(data: bytes) -> None:
    """A record from a peer with the right keys, and any plaintext."""
    sealer, opener = connection_pair.opened()
    list(connection_pair.events(opener, connection_pair.raw(sealer, data)))
    if opener.next_event() is not NEED_DATA:
        raise AssertionError("an event without a record")


def _message(data: bytes) -> None:
    message = messages.decode(data)
    if messages.encode(message) != data:
        raise AssertionError("a message with two encodings")


# --- signed values


def _values(data: bytes) -> None:
    """Each kind of packed value: what is read has one encoding."""
    for kind in _RECORDS:
        with suppress(FsError):
            if pack(unpack(data, kind)) != data:
                raise AssertionError(f"a {kind.__name__} with two encodings")


def _signed(data: bytes) -> None:
    signed = Signed(data, bytes(64))
    with suppress(FsError):
        pinned_manifest(signed, manifest_hash(signed))
    with suppress(FsError):
        verify_members(signed, _NODE, "alice", bytes(32))
    with suppress(FsError):
        stated_members(signed)
    with suppress(FsError):
        verify_state(signed, _NODE, "alice", bytes(32))
    verify_bundle(signed, "alice")


def _metadata(data: bytes) -> None:
    """Sealed metadata with any content: a writer can sign any."""
    for manifest in _manifests():
        body = replace(manifest, metadata=_sealed(data, manifest))
        with suppress(FsError):
            open_metadata(_KEY, body)


def _sealed(plain: bytes, manifest: Manifest) -> bytes:
    where = manifest.node + struct.pack(">QI", manifest.version, manifest.generation)
    nonce = bytes(crypto.NONCE_SIZE)
    return nonce + crypto.Aead(_KEY).seal(nonce, plain, labels.METADATA + where)


@cache
def _manifests() -> list[Manifest]:
    """Return a manifest of a folder and one of a file."""
    found: dict[bool, Manifest] = {}
    for one in _byte_strings(_vectors("manifest")):
        with suppress(FsError):
            manifest = unpack(one, Manifest)
            found.setdefault(manifest.content is None, manifest)
    return list(found.values())


def _proof(data: bytes) -> None:
    PrefixTree.from_proof(data[32:], Hash(data[:32]))


def _log(data: bytes) -> None:
    """Entries of the key log, each after its length in two bytes."""
    entries, rest = [], data
    while len(rest) > 2:
        (size,) = struct.unpack_from(">H", rest)
        entries.append(rest[2 : 2 + size])
        rest = rest[2 + size :]
    key_log(entries)


def _stream(data: bytes) -> None:
    """Sealed content: its header, and its only segment."""
    opener = StreamOpener(FileKey(bytes(32)), b"", data[:HEADER_SIZE])
    opener.open(0, data, last=True)


# --- files


def _key_file(data: bytes) -> None:
    needs_passphrase(data)


def _portable(data: bytes) -> None:
    for read in (unpack_portable, unpack_people, unpack_seen, unpack_identity):
        with suppress(ValueError):
            read(data)


@cache
def _secret() -> RecoverySecret:
    return RecoverySecret("alice", bytes(16))


def _key_backup(data: bytes) -> None:
    _secret().open(data)


def _backup(data: bytes) -> None:
    BackupDecryptor(io.BytesIO(data), "passphrase")


class _Plain(io.BytesIO):
    """The content of a backup that opened."""

    def finish(self) -> None:
        self.read()


def _backup_content(data: bytes) -> None:
    for part in layout.members(_Plain(data)):  # type: ignore[arg-type]
        part.whole()


def _tar() -> bytes:
    """Return a small archive with names that a backup has."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("head.json", "rows/users/00000000", "end.json"):
            member = tarfile.TarInfo(name)
            member.size = 2
            tar.addfile(member, io.BytesIO(b"{}"))
    return out.getvalue()


def _toml(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fsd.toml"
        path.write_bytes(data)
        load(Wanted(config=path, home=Path(folder))).checked()


# --- what people type, paste or print


def _names(data: bytes) -> None:
    text = _text(data)
    for_terminal(text)
    for read in (clean_name, drop_parts, parse_path):
        with suppress(FsError):
            read(text)


def _link(data: bytes) -> None:
    text = _text(data)
    with suppress(FsError):
        parse_address(text)
    link = parse_link(text)
    if parse_link(str(link)) != link:
        raise AssertionError("a printed link that reads otherwise")


def _otpauth(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        next(CodeSource(None, Path(file.name)).codes(Ui()))


def _ssh_key(data: bytes) -> None:
    read_ssh_key(data)


# --- SFTP


def _sftp(data: bytes) -> None:
    for one in Packets().feed(data):
        fields = Fields(one[1:])
        while True:  # until the packet ends
            fields.u32()
            fields.text()
            fields.attributes()


_ED25519 = struct.pack(">I11sI32s", 11, b"ssh-ed25519", 32, bytes(32))
_OPEN = packet(3, struct.pack(">II4sI", 1, 4, b"name", 0x8000000F), bytes(40))

TARGETS = {
    "client_hello": Target(_client_hello, ("handshake",)),
    "server_hello": Target(_server_hello, ("handshake",)),
    "record": Target(_record, ("messages",), packed=True),
    "message": Target(_message, ("messages", "packing"), packed=True),
    "values": Target(
        _values, ("manifest", "state", "members", "bundle", "head", "grant", "drop"), packed=True
    ),
    "signed": Target(_signed, ("manifest", "state", "members", "bundle", "signed"), packed=True),
    "metadata": Target(_metadata, ("manifest",)),
    "proof": Target(_proof, ("proof",)),
    "key_log": Target(_log, ("entry",)),
    "log_head": Target(unpack_log_head, ("head",)),
    "stream": Target(_stream, ("stream",)),
    "key_file": Target(_key_file, ("keyfile",)),
    "export": Target(check_export, ("export",)),
    "portable": Target(_portable, ("export", "recovery")),
    "key_backup": Target(_key_backup, ("recovery",)),
    "backup": Target(_backup, also=(b"FSBACKUP1\n\0\0\0\0",)),
    "backup_content": Target(_backup_content, also=(_tar(),)),
    "host_key_moves": Target(
        lambda data: host_key_moves.follow(data, "SHA256:" + 43 * "A"), ("moves",)
    ),
    "settings": Target(_toml, also=(b'listen = "127.0.0.1:1"\n[login]\nsession = "1 h"\n',)),
    "names": Target(_names, ("names",)),
    "link": Target(_link, ("enroll",)),
    "otpauth": Target(_otpauth, ("otp",)),
    "ssh_key": Target(_ssh_key, also=(b"ssh-ed25519 " + base64.b64encode(_ED25519) + b" a@b\n",)),
    "sftp": Target(_sftp, also=(_OPEN,), raises=(BadPacketError,)),
}
