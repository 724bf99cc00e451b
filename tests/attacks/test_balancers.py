"""A load balancer names the client in a header (`door.proxies`); others cannot."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from fsd.net import balancers
from fsd.policies import ListenerPolicy
from fsproto.link import Address, parse_address
from tests.attacks.test_at_the_door import HELLO
from tests.attacks.test_sessions import host_key
from tests.support import haproxy
from tests.support.hostile_server import HostileServer
from tests.support.nodes import Balancer
from tests.support.raw_client import RawClient
from tests.support.servers import LOOPBACK, RunningServer
from tests.support.world import NOTES, World, until

BALANCER = haproxy.SOURCE
CLIENT = "203.0.113.7"
LINE = b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 65432\r\n"
SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
BINARY = SIGNATURE + struct.pack(">BBH4s4sHH", 0x21, 0x11, 12, b"\xcb\0\x71\7", bytes(4), 1, 2)
LOCAL = SIGNATURE + struct.pack(">BBH", 0x20, 0, 0)
POLICY = ListenerPolicy(refusal_s=0.05, proxies=(BALANCER,))


def addresses(world: World) -> list[str]:
    with world.database() as db:
        return [one for (one,) in db.execute("SELECT address FROM sessions ORDER BY created_ms")]


@contextlib.contextmanager
def behind(world: World, server: HostileServer, header: bytes) -> Iterator[Balancer]:
    with Balancer(server.address, source=BALANCER, header=header) as between:
        world.meet(between.address)
        yield between


@pytest.mark.parametrize("header", [LINE, BINARY])
def test_the_client_that_the_balancer_names_has_the_session(world: World, header: bytes) -> None:
    with HostileServer(world.home, policy=POLICY) as server, behind(world, server, header):
        assert world.alice.cat("notes.txt") == NOTES
        world.alice.forget()
        world.alice.run("login", "--otp", world.alice.app.fresh()).succeeds()
    assert addresses(world)[-1] == CLIENT


def test_a_balancer_that_speaks_for_itself_is_served_under_its_own_address(world: World) -> None:
    with HostileServer(world.home, policy=POLICY) as server, behind(world, server, LOCAL):
        world.alice.forget()
        world.alice.run("login", "--otp", world.alice.app.fresh()).succeeds()
    assert addresses(world)[-1] == BALANCER


def test_limits_before_the_login_count_the_clients_behind_a_balancer(world: World) -> None:
    policy = ListenerPolicy(refusal_s=0.05, proxies=(BALANCER,), waiting_of_one=2)
    with HostileServer(world.home, policy=policy) as server, contextlib.ExitStack() as opened:
        for last in range(1, 4):
            header = f"PROXY TCP4 203.0.113.{last} 192.0.2.1 1 2\r\n".encode()
            for _ in range(2):
                opened.enter_context(from_balancer(server.address, header + HELLO))
        until(lambda: server.connections == 6, "two of each client are there")
        opened.enter_context(from_balancer(server.address, LINE.replace(b".7", b".1") + HELLO))
        opened.enter_context(from_balancer(server.address, LINE + HELLO))
        until(lambda: server.connections == 7, "only the client with three has lost one")


def from_balancer(server: Address, data: bytes) -> socket.socket:
    sock = socket.create_connection((server.host, server.port), 10, source_address=(BALANCER, 0))
    sock.sendall(data)
    return sock


def is_closed(sock: socket.socket) -> bool:
    with contextlib.suppress(ConnectionError):
        return sock.recv(1) == b""
    return True


def test_a_client_cannot_name_an_address(world: World) -> None:
    with HostileServer(world.home, policy=POLICY) as server:
        with socket.create_connection((server.address.host, server.address.port), 10) as sock:
            sock.sendall(LINE + HELLO)
            assert is_closed(sock) or sock.recv(1)  # the header is no handshake message
        with RawClient(server.address, host_key(world.alice)) as raw:
            assert raw.connection.channel_id


@pytest.mark.parametrize(
    "said",
    [HELLO, b"PROXY TCP4 203.0.113.7 192.0.2.1 40000\r\n", b"PROXY " + b"x" * 200, BINARY[:-1]],
)
def test_a_balancer_without_a_valid_header_is_closed_and_logged_once(
    world: World, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), HostileServer(world.home, policy=POLICY) as server:
        for _ in range(3):
            with from_balancer(server.address, said) as sock:
                sock.shutdown(socket.SHUT_WR)
                assert is_closed(sock)
        assert server.connections == 0
        with from_balancer(server.address, LINE + HELLO) as sock:
            assert sock.recv(1)  # the next one with a header is served
    assert [one.name for one in caplog.records] == [balancers.__name__]
    assert BALANCER in caplog.text


def test_a_check_that_connects_and_hangs_up_is_not_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), HostileServer(world.home, policy=POLICY) as server:
        for _ in range(3):
            from_balancer(server.address, b"").close()
        with from_balancer(server.address, LINE + HELLO) as sock:
            assert sock.recv(1)
    assert not caplog.records


def test_a_header_that_does_not_arrive_is_waited_for_a_moment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(balancers, "HEADER_S", 0.2)
    with (
        HostileServer(world.home, policy=POLICY) as server,
        from_balancer(server.address, LINE[:-1]) as sock,
    ):
        assert is_closed(sock)


# --- a real balancer


@pytest.mark.long
def test_haproxy_names_the_client_in_both_versions_at_both_listeners(
    world: World, tmp_path: Path
) -> None:
    options = ("--ssh-listen", LOOPBACK, "--set", f"door.proxies={BALANCER}")
    with world.process(*options) as server:
        assert server.process.stdout is not None
        over_ssh = parse_address(server.process.stdout.readline().split()[3])
        lines = [
            [f"server one {listener} source {BALANCER} {send}"]
            for listener in (server.address, over_ssh)
            for send in ("send-proxy", "send-proxy-v2")
        ]
        with haproxy.running(tmp_path, lines) as places:
            for place in places[:2]:
                world.meet(place)
                world.alice.forget()
                world.alice.run("login", "--otp", world.alice.app.fresh()).succeeds()
                assert addresses(world)[-1] == "127.0.0.1"
            for place in places[2:]:
                with paramiko.Transport((place.host, place.port)) as transport:
                    transport.start_client(timeout=60)
                    with pytest.raises(paramiko.SSHException):
                        transport.auth_none("alice")
        assert f"balancer {BALANCER}" not in server.log
        direct_from_balancer(server)


def direct_from_balancer(server: RunningServer) -> None:
    with from_balancer(server.address, HELLO) as sock:
        assert is_closed(sock)
    until(lambda: f"balancer {BALANCER}" in server.log, "it was logged")
