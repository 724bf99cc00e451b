"""Many unauthenticated, slow or hostile clients at the SSH listener.

Others can still log in, and no resource of the server grows.

Known from: MaxStartups and LoginGraceTime of OpenSSH (sshd_config(5)); CVE-2023-48795 (Terrapin).
"""

from __future__ import annotations

import contextlib
import itertools
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from fskit.ssh import LONGEST_GREETING, LONGEST_PACKET
from tests.support.client_processes import admin
from tests.support.ssh_servers import SshServer, Visitor, give_code, is_in
from tests.support.world import until

FEW = 6


def is_closed(stranger: socket.socket) -> bool:
    """Return whether the server has ended a connection, whatever it sent before."""
    stranger.setblocking(False)
    try:
        while stranger.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


def limited(home: Path) -> SshServer:
    limits = ("--set", f"door.waiting_of_one={FEW}", "--set", "ssh.login=5")
    return SshServer.start(home, *limits, "--set", "ssh.connections=3")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A server for all tests that do not change it."""
    door = limited(tmp_path_factory.mktemp("crowds") / "home")
    with door.server:
        yield door
        assert door.server.process.poll() is None
        assert "Traceback" not in door.server.log


@pytest.fixture
def own_door(tmp_path: Path) -> Iterator[SshServer]:
    """A server for a test that stops it or changes its settings."""
    door = limited(tmp_path / "home")
    with door.server:
        yield door


@pytest.fixture(scope="module")
def drop_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A server with a drop box."""
    door = SshServer.start(tmp_path_factory.mktemp("drops") / "home", "--set", "drop_box=true")
    with door.server:
        yield door
        assert "Traceback" not in door.server.log


_NUMBERS = itertools.count(1)


@pytest.fixture
def alice(door: SshServer, tmp_path: Path) -> Visitor:
    return Visitor.enrolled(door.server, f"alice{next(_NUMBERS)}", tmp_path / "alice")


@pytest.fixture
def only_alice(own_door: SshServer, tmp_path: Path) -> Visitor:
    return Visitor.enrolled(own_door.server, "alice", tmp_path / "alice")


def gets_in(door: SshServer, visitor: Visitor) -> bool:
    with door.transport() as transport:
        give_code(transport, visitor.name, visitor.code())
        return is_in(transport)


HALF_OPEN = {
    "silent": b"",
    "half a greeting": b"SSH-2.0-",
    "greeting alone": b"SSH-2.0-stranger\r\n",
    "half a packet": b"SSH-2.0-stranger\r\n" + struct.pack(">I", 1020) + b"\x04\x14",
}


@pytest.mark.cases(2)
@pytest.mark.parametrize("said", HALF_OPEN.values(), ids=HALF_OPEN.keys())
def test_silent_ssh_connections_are_closed_and_use_few_threads(door, alice, said):
    before = door.threads
    with contextlib.ExitStack() as opened:
        strangers = []
        for _ in range(60):
            strangers.append(opened.enter_context(door.knock()))
            strangers[-1].sendall(said)
        greeted = [stranger.recv(64) for stranger in strangers[-FEW:]]
        assert all(each.startswith(b"SSH-2.0-fsd") for each in greeted)
        until(lambda: door.threads <= before + FEW + 10, "few threads are left")
        assert gets_in(door, alice)
        until(lambda: all(map(is_closed, strangers[: 60 - FEW])), "the oldest were shown out")


def test_an_ssh_connection_without_a_login_is_closed_in_time(door):
    started = time.monotonic()
    with door.knock() as stranger, door.transport() as transport:
        with contextlib.suppress(OSError):
            while stranger.recv(4096):
                pass
        until(lambda: not transport.is_active(), "who exchanged keys and then was silent, too")
    assert 4 < time.monotonic() - started < 15


ENDLESS = {
    "a line without end": b"x" * (LONGEST_GREETING + 4096),
    "a packet without end": HALF_OPEN["greeting alone"]
    + struct.pack(">I", LONGEST_PACKET + 4096)
    + b"\x04\x14",
    "a packet of 4 GiB": HALF_OPEN["greeting alone"] + b"\xff\xff\xff\xfc\x04\x14",
    "noise": HALF_OPEN["greeting alone"] + bytes(range(256)) * 64,
    "another protocol": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 200,
}


@pytest.mark.parametrize("said", ENDLESS.values(), ids=ENDLESS.keys())
def test_a_client_that_exceeds_a_limit_is_disconnected_at_once(door, alice, said):
    with door.knock() as stranger:
        stranger.settimeout(4)  # shorter than the time to log in
        with contextlib.suppress(ConnectionError):
            stranger.sendall(said)
            stranger.sendall(bytes(4096))
            while stranger.recv(4096):
                pass
    assert gets_in(door, alice)


def test_keys_are_exchanged_once_before_the_login(door, alice):
    """A second exchange costs a stranger nothing and the server a computation, again and again."""
    with door.transport() as transport:
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            transport.renegotiate_keys()
        until(lambda: not transport.is_active(), "the stranger is shown out")
    assert gets_in(door, alice)


def test_keys_are_exchanged_again_now_and_then_after_the_login_and_not_in_a_flood(door, alice):
    with door.transport() as transport:
        transport.auth_publickey(alice.name, alice.key)
        give_code(transport, alice.name, alice.code())
        for _ in range(3):
            transport.renegotiate_keys()
        assert is_in(transport)
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            for _ in range(50):
                transport.renegotiate_keys()
        until(lambda: not transport.is_active(), "the flood ends the connection")
    assert gets_in(door, alice)


@pytest.mark.cases(2)
@pytest.mark.parametrize("name", ["a" * 65_536, "nul\0", "", "\N{GRINNING FACE}" * 1000])
def test_an_impossible_user_name_is_refused_like_any_other(door, name):
    with door.transport() as transport:
        assert transport.auth_publickey(name, paramiko.RSAKey.generate(2048)) == [
            "keyboard-interactive"
        ]
        with pytest.raises(paramiko.AuthenticationException):
            give_code(transport, name, "123456")
        assert not is_in(transport)


def test_a_connection_that_is_cut_while_a_code_is_decided_on_leaves_nothing(door, alice):
    for code in (alice.code(), "000000x"):
        with door.transport() as transport:
            transport.auth_handler = None

            def answer(_title, _why, asked, code=code, transport=transport):
                transport.sock.shutdown(socket.SHUT_RD)
                return [code] * len(asked)

            with pytest.raises((paramiko.SSHException, EOFError, OSError)):
                transport.auth_interactive(alice.name, answer)
    until(lambda: door.doors(alice.name) == ["native"], "no session is left of either")
    assert gets_in(door, alice)


def test_one_person_has_only_so_many_connections(door, alice):
    with contextlib.ExitStack() as opened:
        first = opened.enter_context(door.transport())
        first.auth_publickey(alice.name, alice.key)
        give_code(first, alice.name, alice.code())
        for _ in range(2):
            assert opened.enter_context(door.transport()).auth_publickey(
                alice.name, alice.key) == []  # fmt: skip
        with door.transport() as one_more, contextlib.suppress(paramiko.SSHException, EOFError):
            one_more.auth_publickey(alice.name, alice.key)
            assert not is_in(one_more)
        assert is_in(first)


ALL = 12


@pytest.fixture
def full_door(tmp_path: Path) -> Iterator[SshServer]:
    """A server with few SSH connections in total, most of which one user may have."""
    limits = (f"ssh.all_connections={ALL}", "ssh.connections=100", "ssh.login=60")
    door = SshServer.start(tmp_path / "home", *(w for one in limits for w in ("--set", one)))
    with door.server:
        yield door
        assert "Traceback" not in door.server.log


def knock_from(door: SshServer, address: str) -> socket.socket:
    """Connect from an address of this machine, and start the protocol."""
    stranger = socket.create_connection(
        (door.address.host, door.address.port), 30, source_address=(address, 0)
    )
    stranger.sendall(HALF_OPEN["greeting alone"])
    return stranger


@pytest.mark.skipif(sys.platform != "linux", reason="connects from any address of 127.0.0.0/8")
def test_strangers_of_many_networks_share_one_total(full_door, tmp_path):
    alice = Visitor.enrolled(full_door.server, "alice", tmp_path / "alice")
    before = full_door.threads
    with contextlib.ExitStack() as opened:
        strangers = [
            opened.enter_context(knock_from(full_door, f"127.0.1.{n + 1}")) for n in range(3 * ALL)
        ]
        until(lambda: all(map(is_closed, strangers[: 2 * ALL])), "the oldest ones are closed")
        until(lambda: full_door.threads <= before + ALL + 8, "each connection left has a thread")
        assert gets_in(full_door, alice)
        warned = [line for line in full_door.server.log.splitlines() if "all_connections" in line]
        assert len(warned) == 1  # however many are closed


def test_a_user_with_all_connections_does_not_keep_out_another(full_door, tmp_path):
    alice, bob = (
        Visitor.enrolled(full_door.server, one, tmp_path / one) for one in ("alice", "bob")
    )
    with contextlib.ExitStack() as opened:

        def entered(visitor: Visitor) -> paramiko.Transport:
            transport = opened.enter_context(full_door.transport())
            if transport.auth_publickey(visitor.name, visitor.key):
                give_code(transport, visitor.name, visitor.code())
            return transport

        first, *held = [entered(alice) for _ in range(ALL)]
        opened.enter_context(contextlib.closing(first.open_session()))  # so it is not idle
        assert is_in(entered(bob))
        until(lambda: sum(not each.is_active() for each in held) == 1, "one of alice's is closed")
        with full_door.transport() as more, contextlib.suppress(paramiko.SSHException, EOFError):
            more.auth_publickey(alice.name, alice.key)
            assert not is_in(more)
        assert is_in(first)
        for _ in range(ALL):  # strangers still find a place, and take none of a user
            opened.enter_context(full_door.knock())
        assert is_in(first)
        assert is_in(entered(bob))
    assert "ssh.all_connections" in full_door.server.log


def test_one_connection_has_only_so_many_channels(door, alice):
    with door.transport() as transport:
        give_code(transport, alice.name, alice.code())
        channels = [transport.open_session() for _ in range(10)]
        with pytest.raises(paramiko.ChannelException):
            transport.open_session()
        channels.pop().close()
        until(lambda: is_in(transport), "there is room again")


def memory_mib(door: SshServer) -> float:
    """Return the memory that the server uses, in MiB."""
    pages = Path(f"/proc/{door.server.process.pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize() / (1 << 20)


def fill(channel: paramiko.Channel) -> int:
    """Send as much as the window of a channel allows; return how many bytes that is."""
    channel.settimeout(0.3)
    sent = 0
    with contextlib.suppress(OSError, EOFError):
        while True:
            sent += channel.send(bytes(32_768))
    return sent


@pytest.mark.cases(1)
@pytest.mark.parametrize("use", ["fs", "sftp", None])
def test_what_a_client_sends_without_being_read_is_little(drop_door, tmp_path, use):
    """Channels that nothing reads, or whose reader waits for the rest of a record."""
    alice = Visitor.enrolled(drop_door.server, f"alice{next(_NUMBERS)}", tmp_path / "alice")
    with drop_door.transport() as transport:
        give_code(transport, alice.name, alice.code())
        before = memory_mib(drop_door)
        channels = [transport.open_session() for _ in range(9)]
        for channel in channels if use else ():
            channel.invoke_subsystem(use)
        for channel in channels:
            assert fill(channel) < (4 << 20 if use else 1)
        assert memory_mib(drop_door) - before < 16
        assert is_in(transport)


def test_who_sends_more_than_the_window_allows_is_shown_out(door, alice):
    with door.transport() as transport:
        give_code(transport, alice.name, alice.code())
        channel, before = transport.open_session(), memory_mib(door)
        channel.out_window_size = 1 << 30
        fill(channel)
        until(lambda: not transport.is_active(), "the connection is ended")
        assert memory_mib(door) - before < 16
    assert gets_in(door, alice)


def test_nothing_is_forwarded_and_there_is_no_shell(door, alice):
    here = ("127.0.0.1", door.address.port)
    with door.transport() as transport:
        give_code(transport, alice.name, alice.code())
        for kind in ("direct-tcpip", "forwarded-tcpip", "x11", "auth-agent@openssh.com", "tun"):
            with pytest.raises(paramiko.ChannelException):
                transport.open_channel(kind, here, here, timeout=60)
        with pytest.raises(paramiko.SSHException):
            transport.request_port_forward("127.0.0.1", 0)
        for ask in (
            lambda channel: channel.get_pty(),
            lambda channel: channel.request_x11(handler=lambda *_: None),
            lambda channel: channel.invoke_subsystem("netconf"),
        ):
            with pytest.raises((paramiko.SSHException, EOFError)):
                ask(transport.open_session())
        for wanted, word in (
            ("shell", "no shell"),
            ("exec", "no shell"),
            ("sftp", "drop box is off"),
        ):
            channel = transport.open_session()
            match wanted:
                case "shell":
                    channel.invoke_shell()
                case "exec":
                    channel.exec_command("id")
                case _:
                    channel.invoke_subsystem("sftp")
            assert channel.recv_exit_status() == 1
            assert word in channel.recv_stderr(1000).decode()
            assert channel.recv(1) == b""


def test_only_modern_algorithms_are_offered(door):
    with door.knock() as stranger:
        stranger.sendall(HALF_OPEN["greeting alone"])
        file = stranger.makefile("rb")
        assert file.readline().startswith(b"SSH-2.0-fsd")
        length = struct.unpack(">I", file.read(4))[0]
        offered = paramiko.Message(file.read(length)[1 + 1 + 16 :])
    lists = [offered.get_list() for _ in range(8)]
    names = {name for each in lists for name in each}
    assert {"ssh-ed25519", "rsa-sha2-512"} <= set(lists[1])
    assert "kex-strict-s-v00@openssh.com" in lists[0]
    for old in ("sha1", "cbc", "3des", "md5", "ssh-rsa", "group1-", "group14-sha1", "dss", "zlib",
                "arcfour", "-96", "group-exchange", "diffie-hellman-group"):  # fmt: skip
        assert not [name for name in names if old in name], old


def test_limits_that_are_read_again_count_for_those_who_come_then(own_door, only_alice):
    (own_door.server.home / "fsd.toml").write_text("[login]\nsession = '5 min'\n")
    with own_door.transport() as transport:
        transport.auth_publickey(only_alice.name, only_alice.key)
        give_code(transport, only_alice.name, only_alice.code())
        own_door.server.process.send_signal(signal.SIGHUP)
        until(lambda: "reloaded" in own_door.server.log, "the settings were read again")
        assert is_in(transport)  # existing connections stay
    with own_door.transport() as transport:
        give_code(transport, only_alice.name, only_alice.code())
        sessions = {
            each["door"].split()[0]: each["expires_ms"] - each["began_ms"]
            for each in admin(own_door.server, "sessions")
            if each["door"] == "ssh"
        }
        assert sessions == {"ssh": 5 * 60_000}


def test_a_flood_does_not_keep_a_server_from_stopping(own_door, only_alice):
    with contextlib.ExitStack() as opened:
        known = opened.enter_context(own_door.transport())
        give_code(known, only_alice.name, only_alice.code())
        for _ in range(30):
            opened.enter_context(own_door.knock())
        started = time.monotonic()
        assert own_door.server.stop() == 0
        assert time.monotonic() - started < 10
    assert "Traceback" not in own_door.server.log
