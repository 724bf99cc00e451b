"""The gateway with attackers, lost clients, broken clients, and a server that forges."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import stat
from collections.abc import Iterator
from contextlib import closing

import paramiko
import pytest

from fsclient.app import App
from fsclient.gateway.content import SealedContent
from fsclient.gateway.keys import ensure_keys
from fsclient.gateway.server import MOST_KNOWN, MOST_STRANGERS
from fskit.sftp.codes import OpenFlag, Request, Response, StatusCode
from fskit.sftp.packets import Attributes, Fields, Packets, packet, string, u32, u64
from fskit.ssh import LONGEST_PACKET
from fsproto.errors import IntegrityError
from fsproto.names import parse_path
from fsproto.sealed import stream
from tests.support.client_processes import Client
from tests.support.gateways import RunningGateway, at, gateway
from tests.support.world import until

MIB = 1 << 20
_NO_ATTRIBUTES = Attributes().packed()
_NEW = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE


@pytest.fixture(scope="module")
def running(shared_server, tmp_path_factory) -> Iterator[RunningGateway]:
    person = Client(shared_server, "gatewayed", tmp_path_factory.mktemp("gatewayed")).enrol()
    with gateway(person) as found:
        yield found


class Raw:
    """An SFTP client that can send any bytes."""

    def __init__(self, transport: paramiko.Transport) -> None:
        self.channel = transport.open_session()
        self.channel.settimeout(60)
        self.channel.invoke_subsystem("sftp")
        self._packets = Packets()
        self._came: list[memoryview] = []

    def begin(self) -> Raw:
        self.channel.sendall(packet(Request.INIT, u32(3)))
        assert self.next()[0] == Response.VERSION
        return self

    def ask(self, kind: int, *parts: bytes) -> tuple[int, Fields]:
        self.channel.sendall(packet(kind, u32(7), *parts))
        return self.answer()

    def answer(self) -> tuple[int, Fields]:
        one = self.next()
        fields = Fields(one[1:])
        assert fields.u32() == 7
        return one[0], fields

    def status(self, kind: int, *parts: bytes) -> tuple[int, str]:
        found, fields = self.ask(kind, *parts)
        assert found == Response.STATUS
        return fields.u32(), fields.text()

    def open(self, path: str, flags: OpenFlag) -> bytes:
        kind, fields = self.ask(Request.OPEN, string(path), u32(flags), _NO_ATTRIBUTES)
        assert kind == Response.HANDLE, (fields.u32(), fields.text())
        return bytes(fields.string())

    def next(self) -> memoryview:
        while not self._came:
            data = self.channel.recv(1 << 16)
            if not data:
                raise EOFError
            self._came += self._packets.feed(data)
        return self._came.pop(0)


@pytest.fixture
def raw(running) -> Iterator[Raw]:
    with running.ssh() as transport:
        yield Raw(transport).begin()


def test_a_login_without_the_key_is_refused(running, tmp_path):
    where = running.address.host, running.address.port
    other = paramiko.Ed25519Key.from_private_key_file(str(ensure_keys(tmp_path).client_key))
    host = paramiko.Ed25519Key.from_private_key_file(str(running.parts.keys.host_key))
    for key in (other, host, paramiko.RSAKey.generate(2048)):
        with closing(paramiko.Transport(where)) as transport:
            transport.start_client(timeout=60)
            with pytest.raises(paramiko.AuthenticationException):
                transport.auth_publickey(running.client.name, key)
    with closing(paramiko.Transport(where)) as transport:
        transport.start_client(timeout=60)
        with pytest.raises(paramiko.BadAuthenticationType):
            transport.auth_none(running.client.name)
        with pytest.raises(paramiko.AuthenticationException):
            transport.auth_password(running.client.name, "")
        with pytest.raises(paramiko.SSHException):
            transport.open_session(timeout=5)


def test_the_gateway_offers_no_shell_and_no_forwarding(running):
    with running.ssh() as transport:
        with pytest.raises(paramiko.ChannelException):
            transport.open_channel("direct-tcpip", ("127.0.0.1", 1), ("127.0.0.1", 2))
        with pytest.raises(paramiko.SSHException):
            transport.request_port_forward("127.0.0.1", 0)
        with closing(transport.open_session()) as session, pytest.raises(paramiko.SSHException):
            session.invoke_shell()
        for command in ("id", "md5sum /etc/passwd; id", "echo x", "md5sum $(id)"):
            with closing(transport.open_session()) as session:
                session.settimeout(60)
                session.exec_command(command)
                assert session.recv(100) == b""
                assert session.recv_exit_status() == 1


def test_the_keys_are_for_their_owner_alone(running):
    keys = running.parts.keys
    for path in (keys.host_key, keys.client_key, running.parts.files.ssh_config):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (keys.folder, keys.staging, running.parts.files.folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_it_listens_for_other_machines_only_with_the_option(running, address):
    done = running.client.quick("gateway", "--listen", address)
    done.fails(6, "OTHER MACHINES COULD CONNECT", "--allow-remote")


def test_an_upload_that_is_cut_off_is_never_published(running):
    before = running.client.names()
    data = random.Random(1).randbytes(200_000)
    with running.ssh() as transport:
        raw = Raw(transport).begin()
        for name, pieces in (("cut-small", 1), ("cut-large", 40)):
            handle = raw.open(name, _NEW)
            for index in range(pieces):
                status = raw.status(
                    Request.WRITE, string(handle), u64(index * len(data)), string(data)
                )
                assert status[0] == StatusCode.OK
        # The client sends half of a packet, and nothing after it.
        raw.channel.sendall(
            packet(Request.WRITE, u32(7), string(handle), u64(0), string(data))[:5000]
        )
        transport.sock.shutdown(socket.SHUT_RDWR)
    assert _settled(running)
    assert running.client.names() == before


def test_a_program_that_is_killed_leaves_the_old_version(running):
    with running.sftp() as sftp:
        with sftp.open("old", "w") as file:
            file.write(b"as it was")
        other = sftp.open("old", "w")
        other.write(b"half of what was to c")
        sftp.get_channel().get_transport().sock.shutdown(socket.SHUT_RDWR)
    assert _settled(running)
    assert running.client.cat("old") == b"as it was"


def _settled(running: RunningGateway) -> bool:
    """Wait until the gateway has finished with all connections that have ended."""
    for guest in list(running.parts.server._guests):
        assert guest._transport is not None
        guest._transport.join(60)
        for work in guest._work:
            work.join(60)
    return True


def test_a_handle_is_of_no_use_once_it_is_closed(raw):
    handle = raw.open("f", _NEW)
    assert raw.status(Request.CLOSE, string(handle))[0] == StatusCode.OK
    for kind, rest in (
        (Request.CLOSE, b""),
        (Request.READ, u64(0) + u32(1)),
        (Request.WRITE, u64(0) + string(b"x")),
        (Request.FSTAT, b""),
        (Request.FSETSTAT, _NO_ATTRIBUTES),
        (Request.READDIR, b""),
    ):
        status, sentence = raw.status(kind, string(handle), rest)
        assert (status, sentence) == (StatusCode.FAILURE, "The handle is not open.")
    for name in (b"", b"x", b"\xff" * 256):
        assert raw.status(Request.CLOSE, string(name))[0] == StatusCode.FAILURE


def test_paths_lead_nowhere_else(raw):
    for path in ("/etc/passwd", "../../../../../etc/passwd", "a/../../etc/passwd"):
        status, sentence = raw.status(Request.STAT, string(path))
        assert status == StatusCode.NO_SUCH_FILE
        assert "/etc" in sentence
    kind, fields = raw.ask(Request.REALPATH, string("../../.."))
    assert kind == Response.NAME
    assert (fields.u32(), fields.text()) == (1, "/")


@pytest.mark.cases(2)
@pytest.mark.parametrize("name", [b"x" * 65536, b"\xff\xfe", b"a\0b", b"\x1b[2J"], ids=len)
def test_names_that_cannot_be_are_refused_in_a_sentence(raw, name):
    for kind, rest in (
        (Request.STAT, b""),
        (Request.MKDIR, _NO_ATTRIBUTES),
        (Request.OPEN, u32(_NEW) + _NO_ATTRIBUTES),
        (Request.OPENDIR, b""),
        (Request.RENAME, string("x")),
    ):
        status, sentence = raw.status(kind, string(name), rest)
        assert status == StatusCode.FAILURE
        assert sentence.endswith(".")
        assert len(sentence) < 300
        assert sentence.isprintable()


def test_a_malformed_packet_gets_an_error_and_the_next_one_is_served(raw):
    for kind, payload in (
        (Request.OPEN, b""),
        (Request.READ, u32(0xFFFFFFFF)),
        (Request.STAT, string("x")[:-1]),
        (Request.SETSTAT, string("x") + u32(0x80000000) + u32(1 << 31)),
        (Request.EXTENDED, b"\0"),
    ):
        assert raw.status(kind, payload)[0] == StatusCode.BAD_MESSAGE
    for unknown, payload in ((99, b""), (int(Request.EXTENDED), string("nothing@known"))):
        assert raw.status(unknown, payload)[0] == StatusCode.OP_UNSUPPORTED
    hard = string("hardlink@openssh.com") + string("a") + string("b")
    assert raw.status(Request.EXTENDED, hard)[0] == StatusCode.OP_UNSUPPORTED
    assert raw.ask(Request.STAT, string("/"))[0] == Response.ATTRS


def test_a_conversation_that_makes_no_sense_ends(running):
    for nonsense in (packet(Request.STAT, u32(1), string("/")), u32(1 << 31) + b"x", u32(0) + b"x"):
        with running.ssh() as transport:
            raw = Raw(transport)
            raw.channel.sendall(nonsense)
            with pytest.raises(EOFError):
                raw.next()


def test_open_handles_are_limited(raw):
    raw.status(Request.MKDIR, string("opened"), _NO_ATTRIBUTES)
    handles = []
    while True:
        kind, fields = raw.ask(Request.OPENDIR, string("opened"))
        if kind != Response.HANDLE:
            break
        handles.append(bytes(fields.string()))
    assert len(handles) == 1024
    assert fields.u32() == StatusCode.FAILURE
    assert raw.status(Request.CLOSE, string(handles[0]))[0] == StatusCode.OK
    assert raw.ask(Request.OPENDIR, string("opened"))[0] == Response.HANDLE


def test_a_forged_file_is_reported_at_its_end(running, tmp_path):
    data = random.Random(2).randbytes(3 * MIB)
    (tmp_path / "f").write_bytes(data)
    running.client.quick("put", str(tmp_path / "f"), "forged").ok()
    app = App()
    app.options.home = running.client.home
    with app.session() as session:
        found = session.tree.find(parse_path("forged"))
    honest, forged = SealedContent(found), SealedContent(found)
    key, content = found.metadata.file_key, found.manifest.body.content
    assert key is not None
    assert content is not None
    bound_to = stream.content_ad(found.keyed.node, content.version)
    sealer = stream.StreamSealer(key, bound_to, content.salt)
    starts = [stream.plain_start(index) for index in range(honest.segments + 1)]
    pieces = [data[a:b] for a, b in itertools.pairwise(starts)]
    last = len(pieces) - 1
    for index, piece in enumerate(pieces):
        sealed = memoryview(sealer.seal(index, piece, last=index == last))
        assert honest.open(index, sealed) == piece
    for index in (1, 0, *range(2, last)):
        changed = bytes(len(pieces[index])) if index == 1 else pieces[index]
        forged.open(index, memoryview(sealer.seal(index, changed, last=False)))
    with pytest.raises(IntegrityError, match="salted hash"):
        forged.open(last, memoryview(sealer.seal(last, pieces[last], last=True)))


def test_a_forged_segment_is_not_read(running, tmp_path):
    running.client.quick("mkdir", "-p", "d").ok()
    (tmp_path / "f").write_bytes(bytes(MIB))
    running.client.quick("put", str(tmp_path / "f"), "d/f").ok()
    files = running.filesystem()
    handle = files.opened.open(at("d/f"), OpenFlag.READ)
    contents = handle.content._contents
    with pytest.raises(IntegrityError):
        contents.open(0, memoryview(bytes(MIB)))
    with pytest.raises(IntegrityError):
        contents.open(1, memoryview(bytes(100)))
    files.opened.abandon([handle])


# --- other users of the machine, who have no key


def test_waiting_strangers_do_not_block_the_owner(running):
    place = running.address.host, running.address.port
    with contextlib.ExitStack() as opened:
        for _ in range(3 * MOST_STRANGERS):
            opened.enter_context(closing(socket.create_connection(place)))
        with running.ssh() as transport:
            assert transport.is_authenticated()


def test_logged_in_connections_have_a_limit_and_the_reason_is_printed_once(running, capfd):
    with contextlib.ExitStack() as opened:
        for _ in range(MOST_KNOWN):
            opened.enter_context(closing(opened.enter_context(running.ssh()).open_session()))
        for _ in range(3):
            with pytest.raises(paramiko.AuthenticationException), running.ssh():
                pass
        assert capfd.readouterr().err.count("more are refused") == 1
    until(lambda: len(running.parts.server._guests) == 0, "all of them have ended")
    with running.sftp() as sftp:
        sftp.listdir("/")


def test_a_packet_without_end_is_refused_before_it_is_read(running):
    with closing(socket.create_connection((running.address.host, running.address.port))) as one:
        one.settimeout(60)
        one.sendall(b"SSH-2.0-x\r\n" + (LONGEST_PACKET + 4096).to_bytes(4, "big") + b"\x04\x14")
        with contextlib.suppress(ConnectionError):
            one.sendall(bytes(4096))
            while one.recv(4096):
                pass
