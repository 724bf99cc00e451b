"""The key exchange: both ends, and attackers between them."""

from __future__ import annotations

import pytest

from fsproto import crypto
from fsproto.errors import (
    FsError,
    HostKeyError,
    NotFsdError,
    RemoteProtocolError,
    VersionMismatchError,
)
from fsproto.messages import Done
from fsproto.wire.connection import ConnectionState, Control, Ready, Reply
from fsproto.wire.handshake import ClientHandshake, ServerHandshake
from tests.support import connection_pair
from tests.support.fixed_keys import Seeded, host_key, rsa_key


def test_a_client_may_speak_right_behind_its_key_and_is_answered_at_once():
    client, server = connection_pair.ends()
    answer = connection_pair.replies(server, client.start())
    flight = connection_pair.replies(client, answer) + client.send(1, Done())
    confirm, heard = connection_pair.events(server, flight)
    assert isinstance(confirm, Reply)
    assert heard == Control(1, Done())
    said = server.send(1, Done())
    assert list(connection_pair.events(client, confirm.data + said)) == [
        Ready(),
        Control(1, Done()),
    ]


def test_both_ends_know_the_channel_by_a_name_that_no_other_has():
    pairs = [connection_pair.opened() for _ in range(2)]
    for client, server in pairs:
        assert client.channel_id == server.channel_id
        assert len(client.channel_id) == 32
    # Both pairs use the same seeds: only the encapsulation and RSA-OAEP add randomness.
    assert pairs[0][0].channel_id != pairs[1][0].channel_id


def test_the_two_directions_have_keys_of_their_own():
    client, server = connection_pair.opened()
    assert client.send(1, Done()) != server.send(1, Done())


def test_a_client_says_nothing_more_to_a_server_with_another_host_key():
    client = connection_pair.client_end(
        fingerprint=crypto.fingerprint(rsa_key("other-host").public)
    )
    answer = connection_pair.replies(connection_pair.server_end(), client.start())
    client.receive_data(answer)
    with pytest.raises(HostKeyError) as refused:
        client.next_event()
    assert client.state is ConnectionState.CLOSED
    assert "HAS CHANGED" in refused.value.sentence
    for fingerprint in map(crypto.fingerprint, (host_key().public, rsa_key("other-host").public)):
        assert fingerprint in refused.value.sentence
    assert refused.value.hint is not None
    with pytest.raises(RuntimeError):
        client.send(1, Done())


@pytest.mark.parametrize("pinned", ["", "SHA256:", "SHA256:" + "A" * 43])
def test_a_client_that_pinned_nothing_sensible_trusts_nobody(pinned: str):
    client = ClientHandshake(pinned, Seeded("client"))
    server = ServerHandshake(host_key(), Seeded("server"))
    with pytest.raises(HostKeyError):
        client.receive_hello(server.receive_hello(client.hello))


def test_a_server_that_does_not_hold_its_host_key_is_detected():
    class Pretender(crypto.RsaKey):
        """A key that shows the public half of another key."""

    pretender = Pretender(rsa_key("other-host").der)
    pretender.public = host_key().public
    client = ClientHandshake(crypto.fingerprint(host_key().public), Seeded("client"))
    server = ServerHandshake(pretender, Seeded("server"))
    key, _ = client.receive_hello(server.receive_hello(client.hello))
    with pytest.raises(RemoteProtocolError):
        server.receive_key(key)
    with pytest.raises(RemoteProtocolError, match="could not prove"):
        client.receive_confirm(bytes(32))


def _answer_to_key(change: slice) -> FsError:
    client = ClientHandshake(crypto.fingerprint(host_key().public), Seeded("client"))
    server = ServerHandshake(host_key(), Seeded("server"))
    key, _ = client.receive_hello(server.receive_hello(client.hello))
    changed = bytearray(key)
    changed[change] = bytes(len(changed[change]))
    with pytest.raises(RemoteProtocolError) as refused:
        server.receive_key(bytes(changed))
    return refused.value


def test_a_ciphertext_that_does_not_open_is_answered_like_a_wrong_confirmation():
    answers = [_answer_to_key(part) for part in (slice(384), slice(384, None), slice(416))]
    assert len({(type(answer), answer.sentence, answer.hint) for answer in answers}) == 1


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_a_secret_of_another_length_is_answered_alike(length: int):
    client = ClientHandshake(crypto.fingerprint(host_key().public), Seeded("client"))
    server = ServerHandshake(host_key(), Seeded("server"))
    client.receive_hello(server.receive_hello(client.hello))
    sealed = crypto.rsa_seal(host_key().public, bytes(length))
    with pytest.raises(RemoteProtocolError) as refused:
        server.receive_key(sealed + bytes(32))
    assert refused.value.sentence == _answer_to_key(slice(384)).sentence


def test_everything_a_client_ever_sent_says_nothing_to_another_server():
    client, server = connection_pair.ends()
    hello = client.start()
    flight = connection_pair.replies(client, connection_pair.replies(server, hello)) + client.send(
        1, Done()
    )
    assert len(list(connection_pair.events(server, flight))) == 2
    # Even a server with the same seed encapsulates another secret.
    again = connection_pair.server_end()
    connection_pair.replies(again, hello)
    again.receive_data(flight)
    with pytest.raises(RemoteProtocolError):
        again.next_event()


def test_a_server_sends_its_version_to_a_client_of_another_version():
    client, server = connection_pair.ends()
    hello = client.start()
    server.receive_data(hello[:8] + b"\x00\x03" + hello[10:])
    with pytest.raises(VersionMismatchError) as refused:
        server.next_event()
    refusal = server.refusal(refused.value)
    assert refusal == b"\x00\x00\x00\x06FSP1\x00\x02"
    client.receive_data(refusal[:8] + b"\x00\x04")
    with pytest.raises(VersionMismatchError, match="4"):
        client.next_event()


def test_a_server_says_nothing_to_what_does_not_speak_the_protocol():
    _, server = connection_pair.ends()
    for error in (NotFsdError(), RemoteProtocolError(), HostKeyError()):
        assert server.refusal(error) == b""


def test_each_end_draws_exactly_the_random_bytes_it_says():
    drawn: list[int] = []

    def random(length: int) -> bytes:
        drawn.append(length)
        return Seeded("counted")(length)

    client = ClientHandshake(crypto.fingerprint(host_key().public), random)
    assert (len(drawn), sum(drawn)) == (4, 160)
    drawn.clear()
    server = ServerHandshake(host_key(), random)
    key, _ = client.receive_hello(server.receive_hello(client.hello))
    server.receive_key(key)
    assert (len(drawn), sum(drawn)) == (3, 96)


def test_a_channel_does_not_show_its_keys():
    client = ClientHandshake(crypto.fingerprint(host_key().public), Seeded("client"))
    server = ServerHandshake(host_key(), Seeded("server"))
    _, channel = client.receive_hello(server.receive_hello(client.hello))
    assert repr(channel) == "Channel()"
