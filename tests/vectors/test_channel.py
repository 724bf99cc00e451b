"""The vectors of the channel, against `fsproto` and against the plain reference."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from fsproto import crypto
from fsproto.errors import FsError
from fsproto.messages import MESSAGES, encode
from fsproto.wire.connection import Connection, ConnectionState, Control, Data
from fsproto.wire.handshake import Channel, ClientHandshake, ServerHandshake
from fsproto.wire.records import (
    CONTROL,
    CONTROL_HEADER,
    LENGTH,
    RecordOpener,
    RecordSealer,
    body_length,
)
from tests.support import connection_pair, reference
from tests.support.fixed_keys import rsa_key
from tests.vectors import Vector, named
from tests.vectors.cases import bad, good, named_error, octets
from tests.vectors.fields import from_json, to_json

HANDSHAKE = named("handshake", "handshake")
FIRST = b"\x01 the first record"


def _draws(data: bytes):
    at = iter(data)
    return lambda length: bytes(next(at) for _ in range(length))


def _client() -> ClientHandshake:
    return ClientHandshake(HANDSHAKE["fingerprint"], _draws(octets(HANDSHAKE, "client_random")))


def _server() -> ServerHandshake:
    """Return a server in its state after its hello; the hello's ciphertext cannot be made again."""
    server = ServerHandshake(
        rsa_key(HANDSHAKE["host_key"]), _draws(octets(HANDSHAKE, "server_random"))
    )
    server._secrets = octets(HANDSHAKE, "x25519_secret") + octets(HANDSHAKE, "kem_secret")
    server._hellos = octets(HANDSHAKE, "client_hello"), octets(HANDSHAKE, "server_hello")
    return server


def _speaks(channel: Channel, *, out: str, back: str) -> None:
    assert channel.sealer.seal(FIRST) == reference.record(octets(HANDSHAKE, out), 0, FIRST)
    record = reference.record(octets(HANDSHAKE, back), 0, FIRST)
    assert channel.opener.open(record[:4], record[4:]) == FIRST
    assert channel.channel_id == octets(HANDSHAKE, "channel_id")


def test_the_secrets_of_the_handshake_are_what_both_ends_compute():
    random = octets(HANDSHAKE, "client_random")
    kem = crypto.KemKey(random[64:128])
    server = crypto.X25519(octets(HANDSHAKE, "server_random")[:32])
    shared = octets(HANDSHAKE, "x25519_secret")
    assert octets(HANDSHAKE, "rsa_secret") == random[:32]
    assert crypto.X25519(random[32:64]).exchange(server.public) == shared
    assert server.exchange(crypto.X25519(random[32:64]).public) == shared
    assert kem.decapsulate(octets(HANDSHAKE, "kem_ciphertext")) == octets(HANDSHAKE, "kem_secret")
    assert rsa_key("host").open(octets(HANDSHAKE, "rsa_ciphertext")) == random[:32]


def test_the_key_schedule_is_the_one_described():
    secrets = b"".join(
        octets(HANDSHAKE, name) for name in ("rsa_secret", "x25519_secret", "kem_secret")
    )
    follows = reference.key_schedule(
        secrets,
        octets(HANDSHAKE, "client_hello"),
        octets(HANDSHAKE, "server_hello"),
        octets(HANDSHAKE, "rsa_ciphertext"),
    )
    assert {name: value.hex() for name, value in follows.items()}.items() <= HANDSHAKE.items()


def test_the_client_makes_the_hello_from_its_random_bytes():
    assert _client().hello == octets(HANDSHAKE, "client_hello")


def test_the_client_derives_the_channel_of_the_handshake():
    client = _client()
    secrets = b"".join(
        octets(HANDSHAKE, name) for name in ("rsa_secret", "x25519_secret", "kem_secret")
    )
    # Do not call `receive_hello`: it would make another RSA ciphertext.
    key, channel = client._finish(
        secrets, octets(HANDSHAKE, "server_hello"), octets(HANDSHAKE, "rsa_ciphertext")
    )
    assert key == octets(HANDSHAKE, "client_key")
    client.receive_confirm(octets(HANDSHAKE, "server_confirm"))
    _speaks(channel, out="client_to_server", back="server_to_client")


def test_the_server_derives_the_channel_of_the_handshake():
    confirm, channel = _server().receive_key(octets(HANDSHAKE, "client_key"))
    assert confirm == octets(HANDSHAKE, "server_confirm")
    _speaks(channel, out="server_to_client", back="client_to_server")


@bad("handshake")
def test_a_faulty_handshake_is_refused(vector: Vector):
    client, server = Connection(_client()), Connection(_server())
    if vector["step"] == 2:
        client.receive_data(_framed(octets(HANDSHAKE, "server_hello")))
        client.next_event()
        server._state = ConnectionState.KEY
    end = client if vector["to"] == "client" else server
    end.receive_data(octets(vector, "arrives"))
    with pytest.raises(FsError) as refused:
        end.next_event()
    assert type(refused.value) is named_error(vector)
    assert end.state is ConnectionState.CLOSED


def _framed(message: bytes) -> bytes:
    return LENGTH.pack(len(message)) + message


# --- records


@good("records")
def test_a_record_is_sealed_and_opened(vector: Vector):
    secret, plaintext = octets(vector, "secret"), octets(vector, "plaintext")
    record = octets(vector, "record")
    sealer, opener = _after(secret, vector["number"])
    assert sealer.seal(plaintext) == record
    assert opener.open(record[:4], record[4:]) == plaintext
    assert reference.record(secret, vector["number"], plaintext) == record


@bad("records")
def test_a_faulty_record_is_refused(vector: Vector):
    _, opener = _after(octets(vector, "secret"), vector["number"])
    record = octets(vector, "record")

    def receive():
        body_length(record[:4])
        opener.open(record[:4], record[4:])

    with pytest.raises(FsError) as refused:
        receive()
    assert type(refused.value) is named_error(vector)


def _after(secret: bytes, number: int) -> tuple[RecordSealer, RecordOpener]:
    sealer, opener = RecordSealer(secret), RecordOpener(secret)
    for _ in range(number):
        record = sealer.seal(b"")
        opener.open(record[:4], record[4:])
    return sealer, opener


# --- messages


@good("messages", lambda vector: "message" in vector)
def test_a_message_is_packed_and_read(vector: Vector):
    kind = next(kind for kind in MESSAGES if kind.__name__.lower() == vector["message"])
    message = from_json(kind, vector["fields"])
    plaintext = octets(vector, "plaintext")
    assert CONTROL_HEADER.pack(CONTROL, vector["request"]) + encode(message) == plaintext
    client, server = connection_pair.opened()
    (event,) = connection_pair.events(server, connection_pair.raw(client, plaintext))
    assert event == Control(vector["request"], message)
    assert isinstance(event, Control)
    assert to_json(event.message) == vector["fields"]


@good("messages", lambda vector: "stream" in vector)
def test_a_data_record_is_packed_and_read(vector: Vector):
    client, server = connection_pair.opened()
    payload, plaintext = octets(vector, "payload"), octets(vector, "plaintext")
    (event,) = connection_pair.events(server, connection_pair.raw(client, plaintext))
    assert event == Data(vector["stream"], vector["index"], memoryview(payload))
    sent = connection_pair.segment(client, vector["stream"], vector["index"], payload)
    assert isinstance(event, Data)
    assert list(connection_pair.events(server, sent)) == [replace(event)]


@bad("messages")
def test_a_faulty_plaintext_ends_the_connection(vector: Vector):
    client, server = connection_pair.opened()
    server.receive_data(connection_pair.raw(client, octets(vector, "plaintext")))
    with pytest.raises(FsError) as refused:
        server.next_event()
    assert type(refused.value) is named_error(vector)
    assert server.state is ConnectionState.CLOSED
