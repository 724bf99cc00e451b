"""One end of a connection: when it speaks, how much it reads, how it ends."""

from __future__ import annotations

import pytest

from fsproto.errors import ConnectionLost, NotFsdError, RemoteProtocolError
from fsproto.limits import MAX_HANDSHAKE_MESSAGE, MAX_RECORD
from fsproto.messages import Done
from fsproto.wire.connection import NEED_DATA, Connection, Control, Data, State
from tests import joined


def test_a_server_waits_for_the_client_to_begin():
    client, server = joined.ends()
    assert server.start() == b""
    assert server.next_event() is NEED_DATA
    assert client.start()


def test_the_states_follow_each_other_as_the_table_says():
    client, server = joined.ends()
    seen = [(client.state, server.state)]
    moving = client.start()
    for end in (server, client, server, client):
        moving = joined.replies(end, moving)
        seen.append((client.state, server.state))
    assert seen == [
        (State.HELLO, State.HELLO),
        (State.HELLO, State.KEY),
        (State.CONFIRM, State.KEY),
        (State.CONFIRM, State.OPEN),
        (State.OPEN, State.OPEN),
    ]


def _before_keys() -> list[Connection]:
    client, server = joined.ends()
    waiting = joined.server_end()
    joined.replies(waiting, client.start())
    return [client, server, waiting]


def test_nobody_speaks_or_has_a_name_before_there_are_keys():
    for end in _before_keys():
        with pytest.raises(RuntimeError):
            end.send(1, Done())
        with pytest.raises(RuntimeError):
            end.send_data(1, 0, b"")
        with pytest.raises(RuntimeError):
            assert end.channel_id


def test_nobody_speaks_once_it_is_over():
    client, server = joined.opened()
    for end in (client, server):
        with pytest.raises(ConnectionLost):
            end.receive_data(b"")
        assert end.state is State.CLOSED
        with pytest.raises(RuntimeError):
            end.send(1, Done())
        with pytest.raises(ConnectionLost):
            end.next_event()


@pytest.mark.parametrize(
    "banner", [b"HTTP/1.1 400 Bad Request\r\n", b"SSH-2.0-x\r\n", b"\x16\x03\x01\x00"]
)
def test_a_stranger_is_known_by_the_first_four_bytes(banner: bytes):
    for end in joined.ends():
        end.receive_data(banner[: end.wanted()])
        # Nothing more is waited for: a stranger may have nothing more to say.
        assert end.wanted() == 0
        with pytest.raises(NotFsdError) as refused:
            end.next_event()
        assert refused.value.hint is not None


def test_a_handshake_message_may_not_be_longer_than_its_limit():
    client, server = joined.ends()
    hello = client.start()
    joined.replies(server, hello)
    server.receive_data((MAX_HANDSHAKE_MESSAGE + 1).to_bytes(4, "big"))
    assert server.wanted() == 0
    with pytest.raises(RemoteProtocolError):
        server.next_event()


@pytest.mark.parametrize("length", [0, MAX_RECORD + 1, (1 << 32) - 1])
def test_a_record_of_no_possible_length_is_refused_before_it_arrives(length: int):
    for end in joined.opened():
        end.receive_data(length.to_bytes(4, "big"))
        assert end.wanted() == 0
        with pytest.raises(RemoteProtocolError):
            end.next_event()


def test_what_is_wanted_is_a_length_and_then_the_rest():
    client, server = joined.opened()
    record = client.send(7, Done())
    assert server.wanted() == 4
    server.receive_data(record[:3])
    assert server.wanted() == 1
    server.receive_data(record[3:10])
    assert server.wanted() == len(record) - 10
    assert server.next_event() is NEED_DATA
    server.receive_data(record[10:])
    assert server.wanted() == 0
    assert server.next_event() == Control(7, Done())
    assert server.wanted() == 4


def test_the_longest_record_arrives_whole():
    client, server = joined.opened()
    payload = bytes(MAX_RECORD - 16 - 13)
    (event,) = joined.events(server, client.send_data(1, 2, payload))
    assert event == Data(1, 2, memoryview(payload))
    with pytest.raises(ValueError, match="cannot hold"):
        client.send_data(1, 2, payload + b"\0")


def test_a_segment_outlives_the_buffer_it_came_in():
    client, server = joined.opened()
    server.receive_data(client.send_data(1, 0, b"first") + client.send_data(1, 1, b"second"))
    first, second = server.next_event(), server.next_event()
    assert first == Data(1, 0, memoryview(b"first"))
    assert second == Data(1, 1, memoryview(b"second"))


def test_an_end_that_failed_does_not_listen_again():
    client, server = joined.opened()
    good = client.send(1, Done())
    server.receive_data(b"\x00\x00\x00\x20" + bytes(32))
    with pytest.raises(RemoteProtocolError):
        server.next_event()
    server.receive_data(good)
    with pytest.raises(ConnectionLost):
        server.next_event()


def test_both_ends_speak_and_listen_at_the_same_time():
    client, server = joined.opened()
    to_server = b"".join(client.send(number, Done()) for number in range(50))
    to_client = b"".join(server.send(number, Done()) for number in range(50))
    expected = [Control(number, Done()) for number in range(50)]
    assert list(joined.events(server, to_server)) == expected
    assert list(joined.events(client, to_client)) == expected
