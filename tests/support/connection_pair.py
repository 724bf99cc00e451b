"""Two ends of one connection, joined in memory."""

from __future__ import annotations

from collections.abc import Iterator

from fsproto import crypto
from fsproto.wire.connection import DATA_ROOM, NEED_DATA, RECORD_ROOM, Connection, Event, Reply
from fsproto.wire.handshake import ClientHandshake, ServerHandshake
from tests.support.fixed_keys import Seeded, host_key


def client_end(seed: str = "client", fingerprint: str | None = None) -> Connection:
    """Return a client's end that has pinned the host key of the tests, or `fingerprint`."""
    pinned = fingerprint or crypto.fingerprint(host_key().public)
    return Connection(ClientHandshake(pinned, Seeded(seed)))


def server_end(seed: str = "server") -> Connection:
    """Return a server's end with the host key of the tests."""
    return Connection(ServerHandshake(host_key(), Seeded(seed)))


def ends() -> tuple[Connection, Connection]:
    """Return a client's and a server's end that have exchanged nothing yet."""
    return client_end(), server_end()


def opened() -> tuple[Connection, Connection]:
    """Return a client's and a server's end whose handshake is complete."""
    client, server = ends()
    to_server = client.start()
    while to_server:
        to_client = replies(server, to_server)
        to_server = replies(client, to_client)
    return client, server


def replies(end: Connection, arrives: bytes) -> bytes:
    """Return what `end` answers to handshake bytes that arrive."""
    return b"".join(event.data for event in events(end, arrives) if isinstance(event, Reply))


def events(end: Connection, arrives: bytes) -> Iterator[Event]:
    """Give every event that comes of bytes that arrive (none: of what arrived before)."""
    if arrives:
        end.receive_data(arrives)
    while (event := end.next_event()) is not NEED_DATA:
        yield event


def segment(end: Connection, stream: int, index: int, payload: bytes | memoryview) -> bytes:
    """Return the record from `end` that carries one segment."""
    plaintext = bytearray(DATA_ROOM) + payload
    out = bytearray(len(plaintext) + RECORD_ROOM)
    return bytes(end.seal_segment(stream, index, memoryview(plaintext), memoryview(out)))


def raw(end: Connection, plaintext: bytes) -> bytes:
    """Return the next record from `end` with any plaintext at all, which `send` would not make."""
    assert end._channel is not None
    return end._channel.sealer.seal(plaintext)
