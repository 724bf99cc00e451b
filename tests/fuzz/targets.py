"""The parsers that are fuzzed, what each may raise, and where the fuzzing starts.

A parser takes any bytes. It returns, or raises one of its documented errors; anything else is a
fault. Where a value has one encoding, what was read must be packed to the same bytes again.
"""

from __future__ import annotations

import atexit
import base64
import io
import shutil
import struct
import tempfile
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from functools import cache, partial
from ipaddress import ip_address
from pathlib import Path

import h11
import msgspec
from msgspec.structs import replace

from fsclient.session.otp_secret import read_secret
from fsd.backup import encrypt, layout
from fsd.backup.encrypt import BackupDecryptor
from fsd.net.proxy_header import BadProxyHeaderError, ProxyHeader
from fsd.net.web.requests import client_address, read_request
from fsd.settings.load import Wanted, load
from fskit.sftp.packets import BadPacketError, Fields, Packets, packet
from fsproto import crypto, host_key_moves, labels, messages
from fsproto.drop import Drop, DropContent
from fsproto.errors import FsError
from fsproto.keylog.head import KeyLogHead, verify_head
from fsproto.keys import export, key_file
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
from fsproto.links.description import open_description
from fsproto.links.secret import LinkSecret
from fsproto.links.url import parse_url
from fsproto.names import clean_name, drop_parts, for_terminal, parse_path
from fsproto.packing import Record, pack, unpack
from fsproto.proofs.prefix_tree import PrefixTree
from fsproto.requests import url as request_url
from fsproto.requests.description import RequestDescription, open_request
from fsproto.requests.drop import RequestNote
from fsproto.requests.record import RequestRecord
from fsproto.requests.secret import RequestSecret
from fsproto.requests.upload import FinishUpload, StartUpload, UploadState
from fsproto.sealed.folder import FolderState, verify_state
from fsproto.sealed.manifest import (
    Manifest,
    Metadata,
    manifest_hash,
    open_metadata,
    pinned_manifest,
)
from fsproto.sealed.padding import LONG, fill
from fsproto.sealed.stream import HEADER_SIZE, StreamOpener
from fsproto.signed import Signed, payload_hash, sign
from fsproto.types import Hash
from fsproto.wire.connection import NEED_DATA, Connection, ConnectionState
from fsproto.wire.handshake import Channel, ClientHandshake, ServerHandshake
from fsproto.wire.records import SECRET_SIZE, RecordOpener, RecordSealer
from tests.fuzz import seeds
from tests.fuzz.mutate import Mutator
from tests.support import connection_pair
from tests.support.fixed_keys import Seeded, host_key
from tests.support.key_logs import key_log

_KEY = bytes(32)
_RECORDS: tuple[type[Record], ...] = (
    Bundle,
    Drop,
    DropContent,
    FinishUpload,
    FolderState,
    GroupedList,
    KeyLogHead,
    Manifest,
    MemberList,
    Metadata,
    RequestNote,
    RequestRecord,
    RootGrant,
    Signed,
    StartUpload,
    UploadState,
)


@dataclass(frozen=True)
class Target:
    """A parser to fuzz."""

    run: Callable[[bytes], object]
    """Reads an input; False or 0 if it accepts nothing of it."""
    vectors: tuple[str, ...] = ()
    """Files of test vectors, whose byte strings are seeds."""
    also: tuple[bytes, ...] = ()
    """Further seeds."""
    raises: tuple[type[Exception], ...] = (FsError,)
    packed: bool = False
    """Whether inputs are packed values, which `mutate` changes as such."""
    magic: bytes = b""
    """What stands before each packed value."""

    def seeds(self) -> list[bytes]:
        """Return the inputs that the fuzzing starts from."""
        found = [seed for name in self.vectors for seed in seeds.byte_strings(seeds.vectors(name))]
        return [b"", *dict.fromkeys([*self.also, *found])]

    def mutator(self) -> Mutator:
        """Return what changes inputs that are packed values."""
        return Mutator(self.seeds(), self.magic)

    def __call__(self, data: bytes) -> bool:
        """Parse an input, and return whether it was accepted; raise whatever is a fault."""
        try:
            read = self.run(data)
        except self.raises:
            return False
        return read is None or bool(read)


def _accepted(*reads: Callable[[], object], raises: type[Exception] = FsError) -> int:
    """Return how many of some readers accept what they read."""
    count = 0
    for read in reads:
        with suppress(raises):
            read()
            count += 1
    return count


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


# --- the channel


def _events(end: Connection, data: bytes) -> int:
    """Return how many events there are before the connection ends."""
    count = 0
    with suppress(FsError):
        for _ in connection_pair.events(end, data):
            count += 1
    return count


def _client_hello(data: bytes) -> int:
    return _events(connection_pair.server_end(), data)


@cache
def _said_hello() -> ClientHandshake:
    """Return a client's half that waits for the answer; making its keys takes long."""
    return ClientHandshake(crypto.fingerprint(host_key().public), Seeded("client"))


def _server_hello(data: bytes) -> int:
    return _events(Connection(copy(_said_hello())), data)


@cache
def _unused_handshake() -> ServerHandshake:
    return ServerHandshake(host_key(), Seeded("server"))


def _record(data: bytes) -> None:
    """A record from a peer with the right keys, and any plaintext."""
    # Without a handshake, which takes a hundred times longer.
    opener, secret = Connection(_unused_handshake()), bytes(SECRET_SIZE)
    opener._channel = Channel(RecordSealer(secret), RecordOpener(secret), bytes(32))
    opener._state = ConnectionState.OPEN
    list(connection_pair.events(opener, RecordSealer(secret).seal(data)))
    if opener.next_event() is not NEED_DATA:
        raise AssertionError("an event without a record")


def _message(data: bytes) -> None:
    message = messages.decode(data)  # in any encoding: nothing is signed or hashed over it
    if messages.decode(messages.encode(message)) != message:
        raise AssertionError("a message that is another one after the way")


# --- signed values


def _values(data: bytes) -> int:
    """Each kind of packed value: what is read has one encoding."""

    def read(kind: type[Record]) -> None:
        if pack(unpack(data, kind)) != data:
            raise AssertionError(f"a {kind.__name__} with two encodings")

    return _accepted(*(partial(read, kind) for kind in _RECORDS))


@cache
def _signer() -> crypto.SigningKey:
    return crypto.SigningKey(bytes(32))


def _signed(data: bytes) -> int:
    """Values with a good signature: a member of a team, or the server, can sign any."""
    key, public = _signer(), _signer().public
    unsigned = Signed(data, bytes(64))

    def members() -> None:
        body = replace(stated_members(unsigned), owner_key=public)
        verify_members(sign(key, labels.SIGN_MEMBERS, body), body.node, body.owner, public)

    def state() -> None:
        body = replace(unpack(data, FolderState), author_key=public)
        verify_state(sign(key, labels.SIGN_STATE, body), body.folder, body.author, public)

    def head() -> None:
        body = replace(unpack(data, KeyLogHead), key=public)
        verify_head(sign(key, labels.SIGN_LOG_HEAD, body), public)

    def bundle() -> None:
        body = replace(unpack(data, Bundle), ed25519=public)
        verify_bundle(sign(key, labels.SIGN_BUNDLE, body), body.user)

    manifest = partial(pinned_manifest, unsigned, manifest_hash(unsigned))
    return _accepted(manifest, members, state, head, bundle)


def _metadata(data: bytes) -> int:
    """Sealed metadata with any content: a writer can sign any."""
    bodies = [replace(one, metadata=_sealed(data, one)) for one in seeds.manifests()]
    return _accepted(*(partial(open_metadata, _KEY, body) for body in bodies))


def _sealed(plain: bytes, manifest: Manifest) -> bytes:
    where = manifest.node + struct.pack(">QI", manifest.version, manifest.generation)
    nonce, filled = bytes(crypto.NONCE_SIZE), fill(plain)
    return nonce + crypto.Aead(_KEY).seal(nonce, filled, labels.METADATA + where)


def _proof(data: bytes) -> None:
    """A root, and the proof of entries under it."""
    PrefixTree.from_proof(data[32:], Hash(data[:32]))


def _log(data: bytes) -> bool:
    """A packed list of entries of the key log."""
    try:
        entries = msgspec.msgpack.decode(data, type=list[bytes])
    except msgspec.MsgspecError:
        return False
    key_log(entries)
    return bool(entries)


def _stream(data: bytes) -> None:
    """Sealed content: its header, and its only segment."""
    opener = StreamOpener(seeds.FILE_KEY, b"", data[:HEADER_SIZE])
    opener.open(0, data, last=True)


# --- files


def _key_file(data: bytes) -> None:
    needs_passphrase(data)


def _portable(data: bytes) -> int:
    reads = (unpack_portable, unpack_people, unpack_seen, unpack_identity)
    return _accepted(*(partial(read, data) for read in reads), raises=ValueError)


@cache
def _secret() -> RecoverySecret:
    return RecoverySecret("alice", bytes(16))


def _key_backup(data: bytes) -> None:
    _secret().open(data)


_MOST_COST = 64
"""Passes and KiB, multiplied: a key that costs more would take seconds, and memory."""


def _backup(data: bytes) -> bool:
    behind = len(encrypt.MAGIC) + 2
    size = int.from_bytes(data[behind - 2 : behind], "big")
    with suppress(FsError):
        head = encrypt._read_head(data[behind : behind + size])
        if head.passes * head.memory_kib > _MOST_COST:
            return False
    BackupDecryptor(io.BytesIO(data), seeds.PASSPHRASE).finish()
    return True


class _Plain(io.BytesIO):
    """The content of a backup that opened."""

    def finish(self) -> None:
        self.read()


def _backup_content(data: bytes) -> None:
    for part in layout.members(_Plain(data)):  # type: ignore[arg-type]
        part.whole()


@cache
def _folder() -> Path:
    """Return a folder for all executions: a new one for each would take most of the time."""
    made = tempfile.mkdtemp(prefix="fs-fuzz-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def _toml(data: bytes) -> None:
    path = _folder() / "fsd.toml"
    path.write_bytes(data)
    load(Wanted(config=path, home=path.parent)).checked()


_HOST_KEY = crypto.fingerprint(host_key().public)


# --- what people type, paste or print


def _names(data: bytes) -> int:
    text = _text(data)
    for_terminal(text)
    return _accepted(*(partial(read, text) for read in (clean_name, drop_parts, parse_path)))


def _link(data: bytes) -> None:
    text = _text(data)
    with suppress(FsError):
        parse_address(text)
    link = parse_link(text)
    if parse_link(str(link)) != link:
        raise AssertionError("a printed link that reads otherwise")


def _public_link_url(data: bytes) -> None:
    url = parse_url(_text(data))
    if parse_url(str(url)) != url:
        raise AssertionError("a printed URL that reads otherwise")


def _public_link(data: bytes) -> None:
    """A description with any content: the maker of a link can seal any."""
    binding = labels.PUBLIC_LINK + _LINK.link
    sealed = crypto.Aead(_LINK.key).seal(bytes(crypto.NONCE_SIZE), fill(data, LONG), binding)
    open_description(_LINK, _LINK.commitment + sealed)


def _request_link_url(data: bytes) -> None:
    url = request_url.parse_url(_text(data))
    if request_url.parse_url(str(url)) != url:
        raise AssertionError("a printed URL that reads otherwise")


def _request_link(data: bytes) -> None:
    """A description with any content: the maker of a request link can seal any."""
    bundle = Hash(bytes(crypto.HASH_SIZE))
    with suppress(FsError):
        bundle = payload_hash(labels.HASH_BUNDLE, unpack(data, RequestDescription).bundle)
    keys = _REQUEST
    binding = labels.REQUEST + keys.request + bundle
    open_request(keys, bundle, keys.seal(fill(data), binding))


def _web_request(data: bytes) -> bool:
    http = h11.Connection(h11.SERVER, max_incomplete_event_size=8192)
    http.receive_data(data)
    event = http.next_event()
    if not isinstance(event, h11.Request):
        return False
    read_request(event)
    client_address("127.0.0.1", event, ("127.0.0.1",))
    return True


def _proxy_header(data: bytes) -> bool:
    """A header of a load balancer, and what follows it."""
    header, at = ProxyHeader(), 0
    while header.wants and at < len(data):
        piece = data[at : at + header.wants]
        header.feed(piece)
        at += len(piece)
    if header.address is not None:
        ip_address(header.address)
    return header.complete


def _otpauth(data: bytes) -> None:
    read_secret(data, "The file").at(0)


def _ssh_key(data: bytes) -> None:
    read_ssh_key(data)


# --- SFTP


def _sftp(data: bytes) -> int:
    whole = 0
    for one in Packets().feed(data):
        fields, whole = Fields(one[1:]), whole + 1
        with suppress(BadPacketError):  # where the packet ends
            while True:
                fields.u32()
                fields.text()
                fields.attributes()
    return whole


_ED25519 = struct.pack(">I11sI32s", 11, b"ssh-ed25519", 32, bytes(32))
_LINK = LinkSecret(bytes(32)).keys()
_REQUEST = RequestSecret(bytes(32)).keys()
_OPEN = packet(3, struct.pack(">II4sI", 1, 4, b"name", 0x8000000F), bytes(40))

TARGETS = {
    "client_hello": Target(_client_hello, ("handshake",), also=seeds.handshake()[:1]),
    "server_hello": Target(_server_hello, ("handshake",), also=seeds.handshake()[1:]),
    "record": Target(_record, ("messages",), packed=True),
    "message": Target(_message, ("packing",), also=tuple(seeds.encoded_messages()), packed=True),
    "values": Target(
        _values,
        ("manifest", "state", "members", "bundle", "head", "grant", "drop", "requestupload"),
        also=tuple(seeds.request_notes()),
        packed=True,
    ),
    "signed": Target(
        _signed, ("manifest", "state", "members", "bundle", "signed", "head"), packed=True
    ),
    "metadata": Target(_metadata, also=tuple(seeds.plain_metadata()), packed=True),
    "proof": Target(_proof, ("proof",), also=tuple(seeds.proofs())),
    "key_log": Target(_log, also=tuple(seeds.logs()), packed=True),
    "stream": Target(_stream, ("stream",), also=tuple(seeds.sealed_content())),
    "key_file": Target(_key_file, ("keyfile",), packed=True, magic=key_file.MAGIC),
    "export": Target(check_export, ("export",), packed=True, magic=export.MAGIC),
    "portable": Target(_portable, also=tuple(seeds.carried()), packed=True),
    "key_backup": Target(_key_backup, ("recovery",)),
    "backup": Target(_backup, also=tuple(seeds.backups())),
    "backup_content": Target(_backup_content, also=(seeds.archive(),)),
    "host_key_moves": Target(
        partial(host_key_moves.follow, expected=_HOST_KEY),
        also=(seeds.host_key_answer(),),
        packed=True,
        magic=seeds.host_key_answer()[: len(host_key_moves.question(b"")) - len("moved")],
    ),
    "settings": Target(_toml, also=(b'listen = "127.0.0.1:1"\n[login]\nsession = "1 h"\n',)),
    "names": Target(_names, ("names",)),
    "link": Target(_link, ("enroll",)),
    "public_link_url": Target(_public_link_url, ("linkurl",)),
    "public_link": Target(_public_link, also=tuple(seeds.descriptions()), packed=True),
    "request_link_url": Target(_request_link_url, ("requesturl",)),
    "request_link": Target(_request_link, also=tuple(seeds.requests()), packed=True),
    "web_request": Target(_web_request, also=seeds.WEB, raises=(h11.RemoteProtocolError,)),
    "proxy_header": Target(_proxy_header, also=seeds.PROXY, raises=(BadProxyHeaderError,)),
    "otpauth": Target(_otpauth, ("otp",)),
    "ssh_key": Target(_ssh_key, also=(b"ssh-ed25519 " + base64.b64encode(_ED25519) + b" a@b\n",)),
    "sftp": Target(_sftp, also=(_OPEN,), raises=(BadPacketError,)),
}
