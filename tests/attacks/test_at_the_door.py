"""Unauthenticated clients at the server's port: noise, other protocols, slow senders, and crowds.

Known from: Slowloris (Hansen, 2009); cross-protocol attacks (Brinkmann and others, "ALPACA", USENIX
Security 2021).
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator

import pytest

from fsd.policies import ListenerPolicy
from fsproto import crypto
from fsproto.errors import VersionMismatchError
from fsproto.link import Address
from fsproto.wire.handshake import ClientHandshake
from tests.support.fixed_keys import rsa_key, stretch
from tests.support.hostile_server import HostileServer
from tests.support.proxy import framed
from tests.support.servers import RunningServer
from tests.support.world import NOTES, World, until

HELLO = framed(ClientHandshake(crypto.fingerprint(rsa_key("host").public), os.urandom).hello)
TLS_HELLO = bytes.fromhex("16030100f8010000f40303") + stretch("tls", 240)
NOISE = {
    "nothing": b"",
    "zeros": bytes(100_000),
    "random": stretch("noise", 100_000),
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.9\r\n",
    "tls": TLS_HELLO,
    "another version": framed(b"FSP1\x00\x03" + bytes(100)),
    "half a hello": HELLO[:600],
    "a hello twice": HELLO + HELLO,
    "a hello and noise": HELLO + framed(stretch("key", 416)),
    "no keys in a hello": framed(b"FSP1\x00\x02" + bytes(1248)),
    "an endless length": b"\xff\xff\xff\xff" + bytes(100_000),
    "an empty message": bytes(4),
}


def connected(to: Address) -> socket.socket:
    """Return a socket that is connected to a server."""
    return socket.create_connection((to.host, to.port), timeout=60)


def answer_to(noise: bytes, server: Address) -> bytes:
    """Send some bytes and then nothing else; return everything that the server answers."""
    with connected(server) as stranger, contextlib.suppress(ConnectionError):
        stranger.sendall(noise)
        stranger.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: stranger.recv(4096), b""))
    return b""


@pytest.fixture(scope="module")
def shared(first_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world that unauthenticated clients cannot change."""
    return first_world.copy(tmp_path_factory.mktemp("at the door"))


@pytest.fixture(scope="module")
def process(shared: World) -> Iterator[RunningServer]:
    """The real program on the shared world."""
    with shared.process() as server:
        yield server
        assert server.process.poll() is None
        assert "Traceback" not in server.log
        assert "failed" not in server.log


def test_noise_costs_the_server_nothing(shared: World, process: RunningServer) -> None:
    for name, noise in NOISE.items():
        answer = answer_to(noise, process.address)
        # A hello is answered; everything else gets at most the server's protocol version.
        assert (len(answer) > 1000) == name.startswith("a hello"), name
        assert len(answer) <= 10 or name.startswith("a hello"), name
    assert shared.alice.cat("notes.txt") == NOTES


def test_a_client_of_another_protocol_is_rejected_at_the_first_wrong_byte(
    process: RunningServer,
) -> None:
    for name in ("http", "ssh", "tls", "an endless length"):
        with connected(process.address) as stranger:
            # The client keeps the connection open, as a browser would.
            stranger.sendall(NOISE[name][:60])
            assert stranger.recv(1) == b"", name


def test_a_client_of_another_version_gets_the_version_of_the_server(process: RunningServer) -> None:
    answer = answer_to(NOISE["another version"], process.address)
    assert answer == struct.pack(">I4sH", 6, b"FSP1", 2)
    old = ClientHandshake("SHA256:" + "A" * 43, os.urandom)
    with pytest.raises(VersionMismatchError):
        old.receive_hello(b"FSP1\x00\x03" + answer)


def test_many_silent_connections_do_not_block_others(shared: World, process: RunningServer) -> None:
    with contextlib.ExitStack() as opened:
        for number in range(200):
            stranger = opened.enter_context(connected(process.address))
            stranger.sendall(HELLO[: number * 7])
        assert shared.alice.cat("notes.txt") == NOTES
        assert shared.bob.put("still.txt", b"works").status == 0


def test_more_connections_than_the_server_can_hold_do_not_end_it(world: World) -> None:
    resource = pytest.importorskip("resource", reason="A LIMIT ON CONNECTIONS IS NOT TESTED HERE")
    if not hasattr(resource, "prlimit"):
        pytest.skip("A LIMIT ON CONNECTIONS IS NOT TESTED HERE: it cannot be set for a process")
    with world.process() as server:
        # Fewer descriptors than connections that may wait, and no way to raise the limit.
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (60, 60))
        with contextlib.ExitStack() as opened:
            for _ in range(120):
                with contextlib.suppress(ConnectionError):  # those that find no room are closed
                    opened.enter_context(connected(server.address)).sendall(HELLO)
            assert world.alice.run("ls").status == 0
        assert server.stop() == 0
        assert "Traceback" not in server.log


@pytest.mark.parametrize("so_far", [b"", HELLO[:2], HELLO[:-1], HELLO], ids=len)
def test_a_native_connection_without_a_login_is_closed_in_time(world: World, so_far: bytes) -> None:
    policy = ListenerPolicy(login_s=0.3)
    with HostileServer(world.home, policy=policy) as server, connected(server.address) as stranger:
        stranger.sendall(so_far)
        received = b"".join(iter(lambda: stranger.recv(4096), b""))  # until the server closes it
        assert bool(received) == (so_far == HELLO)


def test_a_sender_of_single_bytes_is_disconnected(world: World) -> None:
    policy = ListenerPolicy(login_s=0.3)
    with HostileServer(world.home, policy=policy) as server, connected(server.address) as stranger:
        sent = iter(HELLO)

        def shown_out() -> bool:
            try:
                stranger.sendall(bytes([next(sent)]))
            except ConnectionError:
                return True
            return False

        until(shown_out, "a slow sender was shown out")
