"""Two ends of one connection, joined in memory."""

from __future__ import annotations

from collections.abc import Iterator

from fsproto import crypto
from fsproto.wire.connection import DATA_ROOM, NEED_DATA, RECORD_ROOM, Connection, Event, Reply
from fsproto.wire.frames import SpareBuffers
from fsproto.wire.handshake import ClientHandshake, ServerHandshake
from tests.support.fixed_keys import Seeded, host_key


def client_end(seed: str = "client", fingerprint: str | None = None) -> Connection:
    """Return a client's end that has pinned the tests' host key, or `fingerprint`."""
    pinned = fingerprint or crypto.fingerprint(host_key().public)
    return Connection(ClientHandshake(pinned, Seeded(seed)))


def server_end(seed: str = "server", spares: SpareBuffers | None = None) -> Connection:
    """Return a server's end with the tests' host key."""
    return Connection(ServerHandshake(host_key(), Seeded(seed)), spares)


def ends() -> tuple[Connection, Connection]:
    """Return a client's and a server's end before the handshake."""
    return client_end(), server_end()


def opened(spares: SpareBuffers | None = None) -> tuple[Connection, Connection]:
    """Return a client's and a server's end whose handshake is complete.

    The server's end uses the buffers of `spares`.
    """
    client, server = client_end(), server_end(spares=spares)
    to_server = client.start()
    while to_server:
        to_client = replies(server, to_server)
        to_server = replies(client, to_client)
    return client, server


def replies(end: Connection, arrives: bytes) -> bytes:
    """Return the answer of `end` to handshake bytes that it receives."""
    return b"".join(event.data for event in events(end, arrives) if isinstance(event, Reply))


def events(end: Connection, arrives: bytes) -> Iterator[Event]:
    """Yield all events from received bytes (none: from bytes that were received before)."""
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
    """Return the next record from `end` with any given plaintext; `send` could not make it."""
    assert end._channel is not None
    return end._channel.sealer.seal(plaintext)
