"""One end of a connection: its states, the bytes that it reads, and its end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import pytest

from fsproto.errors import ConnectionLost, NotFsdError, RemoteProtocolError
from fsproto.limits import MAX_CONTROL, MAX_HANDSHAKE_MESSAGE, MAX_RECORD, SEGMENT_SIZE
from fsproto.messages import Done, files
from fsproto.types import NodeId, Token
from fsproto.wire.connection import (
    DATA_ROOM,
    NEED_DATA,
    RECORD_ROOM,
    Connection,
    ConnectionState,
    Control,
    Data,
)
from fsproto.wire.frames import SMALL, Frame, FrameBuffers, SpareBuffers
from tests.support import connection_pair
from tests.support.fixed_keys import stretch


def test_a_server_waits_for_the_client_to_begin():
    client, server = connection_pair.ends()
    assert server.start() == b""
    assert server.next_event() is NEED_DATA
    assert client.start()


def test_the_states_follow_each_other_as_the_table_says():
    client, server = connection_pair.ends()
    seen = [(client.state, server.state)]
    moving = client.start()
    for end in (server, client, server, client):
        moving = connection_pair.replies(end, moving)
        seen.append((client.state, server.state))
    assert seen == [
        (ConnectionState.HELLO, ConnectionState.HELLO),
        (ConnectionState.HELLO, ConnectionState.KEY),
        (ConnectionState.CONFIRM, ConnectionState.KEY),
        (ConnectionState.CONFIRM, ConnectionState.OPEN),
        (ConnectionState.OPEN, ConnectionState.OPEN),
    ]


def _before_keys() -> list[Connection]:
    client, server = connection_pair.ends()
    waiting = connection_pair.server_end()
    connection_pair.replies(waiting, client.start())
    return [client, server, waiting]


def test_nobody_speaks_or_has_a_name_before_there_are_keys():
    for end in _before_keys():
        with pytest.raises(RuntimeError):
            end.send(1, Done())
        with pytest.raises(RuntimeError):
            connection_pair.segment(end, 1, 0, b"")
        with pytest.raises(RuntimeError):
            assert end.channel_id


def test_nobody_speaks_once_it_is_over():
    client, server = connection_pair.opened()
    for end in (client, server):
        with pytest.raises(ConnectionLost):
            end.receive_data(b"")
        assert end.state is ConnectionState.CLOSED
        with pytest.raises(RuntimeError):
            end.send(1, Done())
        with pytest.raises(ConnectionLost):
            end.next_event()


@pytest.mark.parametrize(
    "banner", [b"HTTP/1.1 400 Bad Request\r\n", b"SSH-2.0-x\r\n", b"\x16\x03\x01\x00"]
)
def test_a_stranger_is_known_by_the_first_four_bytes(banner: bytes):
    for end in connection_pair.ends():
        end.receive_data(banner[: end.wanted()])
        # The end must not wait for more bytes: another program may send none.
        assert end.wanted() == 0
        with pytest.raises(NotFsdError) as refused:
            end.next_event()
        assert refused.value.hint is not None


def test_a_handshake_message_may_not_be_longer_than_its_limit():
    client, server = connection_pair.ends()
    hello = client.start()
    connection_pair.replies(server, hello)
    server.receive_data((MAX_HANDSHAKE_MESSAGE + 1).to_bytes(4, "big"))
    assert server.wanted() == 0
    with pytest.raises(RemoteProtocolError):
        server.next_event()


@pytest.mark.parametrize("length", [0, MAX_RECORD + 1, (1 << 32) - 1])
def test_a_record_of_no_possible_length_is_refused_before_it_arrives(length: int):
    for end in connection_pair.opened():
        end.receive_data(length.to_bytes(4, "big"))
        assert end.wanted() == 0
        with pytest.raises(RemoteProtocolError):
            end.next_event()


def test_what_is_wanted_is_a_length_and_then_the_rest():
    client, server = connection_pair.opened()
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
    client, server = connection_pair.opened()
    payload = bytes(MAX_RECORD - 16 - 13)
    (event,) = connection_pair.events(server, connection_pair.segment(client, 1, 2, payload))
    assert event == Data(1, 2, memoryview(payload))
    with pytest.raises(ValueError, match="cannot hold"):
        connection_pair.segment(client, 1, 2, payload + b"\0")


def test_a_segment_outlives_the_buffer_it_came_in():
    client, server = connection_pair.opened()
    server.receive_data(
        connection_pair.segment(client, 1, 0, b"first")
        + connection_pair.segment(client, 1, 1, b"second")
    )
    first, second = server.next_event(), server.next_event()
    assert first == Data(1, 0, memoryview(b"first"))
    assert second == Data(1, 1, memoryview(b"second"))


def test_an_end_that_failed_does_not_listen_again():
    client, server = connection_pair.opened()
    good = client.send(1, Done())
    server.receive_data(b"\x00\x00\x00\x20" + bytes(32))
    with pytest.raises(RemoteProtocolError):
        server.next_event()
    server.receive_data(good)
    with pytest.raises(ConnectionLost):
        server.next_event()


def test_both_ends_speak_and_listen_at_the_same_time():
    client, server = connection_pair.opened()
    to_server = b"".join(client.send(number, Done()) for number in range(50))
    to_client = b"".join(server.send(number, Done()) for number in range(50))
    expected = [Control(number, Done()) for number in range(50)]
    assert list(connection_pair.events(server, to_server)) == expected
    assert list(connection_pair.events(client, to_client)) == expected


# --- frames


def _fill(end: Connection, data: bytes) -> list[Frame]:
    """Write `data` into the buffer of `end` like a socket; return the resulting frames."""
    frames = []
    while True:
        if (frame := end.take_frame()) is not None:
            frames.append(frame)
        elif data:
            room = end.room()
            count = min(len(room), len(data))
            room[:count], data = data[:count], data[count:]
            end.received(count)
        else:
            return frames


LARGE = stretch("a large segment", 100_000)
LARGE_ENOUGH = SMALL + 1
"""Size of a token, in bytes, that makes a message large."""


def test_frames_taken_first_may_be_opened_later():
    client, server = connection_pair.opened()
    sent = [connection_pair.segment(client, 1, index, LARGE[index:]) for index in range(5)]
    frames = _fill(server, b"".join(sent))
    events = [server.open_frame(frame) for frame in frames]
    assert events == [Data(1, index, memoryview(LARGE[index:])) for index in range(5)]


def test_frames_opened_out_of_order_are_refused():
    client, server = connection_pair.opened()
    first, second = _fill(server, client.send(1, Done()) + client.send(2, Done()))
    with pytest.raises(RemoteProtocolError):
        server.open_frame(second)
    assert server.state is ConnectionState.CLOSED
    with pytest.raises(RuntimeError):
        server.open_frame(first)


def test_a_large_record_is_opened_in_the_memory_that_is_given():
    client, server = connection_pair.opened()
    (frame,) = _fill(server, connection_pair.segment(client, 1, 2, LARGE))
    memory = bytearray(MAX_RECORD)
    event = server.open_frame(frame, memoryview(memory))
    assert event == Data(1, 2, memoryview(LARGE))
    assert memory[13 : 13 + len(LARGE)] == LARGE


def test_what_was_opened_without_given_memory_outlives_what_comes_next():
    client, server = connection_pair.opened()
    (first,) = _fill(server, connection_pair.segment(client, 1, 0, LARGE))
    event = server.open_frame(first)
    (second,) = _fill(server, connection_pair.segment(client, 1, 1, bytes(len(LARGE))))
    server.open_frame(second)
    assert event == Data(1, 0, memoryview(LARGE))


def test_a_message_outlives_the_memory_it_was_opened_in():
    client, server = connection_pair.opened()
    message = files.Lookup(NodeId(stretch("node", 16)), [Token(LARGE)])
    (frame,) = _fill(server, client.send(1, message))
    memory = bytearray(MAX_RECORD)
    event = server.open_frame(frame, memoryview(memory))
    memory[:] = bytes(len(memory))
    assert event == Control(1, message)


def _lookup(size: int) -> files.Lookup:
    return files.Lookup(NodeId(stretch("node", 16)), [Token(stretch("token", size))])


def test_records_made_in_memory_that_is_used_again_say_what_they_should():
    client, server = connection_pair.opened()
    out = FrameBuffers()
    sizes = [MAX_CONTROL - 100, 5, LARGE_ENOUGH, 200_000, LARGE_ENOUGH - 1, MAX_CONTROL - 100, 0]
    for number, size in enumerate(sizes):
        record = bytes(client.send_in(out, number, _lookup(size)))
        assert list(connection_pair.events(server, record)) == [Control(number, _lookup(size))]


def test_large_records_are_made_in_the_same_memory_and_small_ones_are_not():
    client, _ = connection_pair.opened()
    out = FrameBuffers()
    large = client.send_in(out, 1, _lookup(LARGE_ENOUGH))
    before = bytes(large)
    small = client.send_in(out, 2, _lookup(10))
    assert isinstance(small, bytes)
    assert large == before
    client.send_in(out, 3, _lookup(LARGE_ENOUGH))
    assert large != before


def test_what_is_too_long_for_a_record_leaves_the_connection_as_it_was():
    client, server = connection_pair.opened()
    out = FrameBuffers()
    with pytest.raises(ValueError, match="too long"):
        client.send_in(out, 1, _lookup(MAX_CONTROL))
    sent = bytes(client.send_in(out, 2, _lookup(LARGE_ENOUGH)))
    assert list(connection_pair.events(server, sent)) == [Control(2, _lookup(LARGE_ENOUGH))]


def test_memory_is_used_again_while_large_records_come_and_let_go_after_them():
    client, server = connection_pair.opened()
    buffers = set()
    for index in range(4):
        (frame,) = _fill(server, connection_pair.segment(client, 1, index, LARGE))
        buffers.add(id(frame.buffer))
        server.open_frame(frame)
    assert len(buffers) == 1
    assert server._incoming._spare
    (small,) = _fill(server, client.send(1, Done()))
    server.open_frame(small)
    assert not server._incoming._spare


def test_a_peer_gets_little_memory_before_the_key_exchange():
    client, server = connection_pair.ends()
    for end, message in ((server, client.start()), (client, b"")):
        end.receive_data(message[:4] or (1600).to_bytes(4, "big"))
        assert end.take_frame() is None
        assert len(end.room()) <= MAX_HANDSHAKE_MESSAGE


def test_a_damaged_frame_ends_the_connection_wherever_it_is_opened():
    client, server = connection_pair.opened()
    record = bytearray(connection_pair.segment(client, 1, 0, LARGE))
    record[50_000] ^= 1
    (frame,) = _fill(server, bytes(record))
    with pytest.raises(RemoteProtocolError):
        server.open_frame(frame, memoryview(bytearray(MAX_RECORD)))
    assert server.state is ConnectionState.CLOSED
    with pytest.raises(ConnectionLost):
        server.take_frame()


@pytest.mark.parametrize("size", [0, 1, 1000, SEGMENT_SIZE])
def test_a_segment_sealed_where_it_lies_is_the_same_record(size: int):
    client, server = connection_pair.opened()
    plaintext = stretch("segment", size)
    segment = memoryview(bytearray(DATA_ROOM) + plaintext)
    out = memoryview(bytearray(len(segment) + RECORD_ROOM + 5))
    for index in range(2):
        record = client.seal_segment(7, index, segment, out)
        assert len(record) == len(segment) + RECORD_ROOM
        assert list(connection_pair.events(server, bytes(record))) == [
            Data(7, index, memoryview(plaintext))
        ]
    said = client.send(1, Done())
    assert list(connection_pair.events(server, said)) == [Control(1, Done())]


def test_one_thread_may_open_frames_while_another_receives_the_next():
    client, server = connection_pair.opened()
    count = 200
    sent = iter(
        [connection_pair.segment(client, 1, n, LARGE[: 1 + n * 211 % 40_000]) for n in range(count)]
    )
    frames: SimpleQueue[Frame | None] = SimpleQueue()
    opened: list[int] = []

    def open_all() -> None:
        while (frame := frames.get()) is not None:
            event = server.open_frame(frame)
            assert isinstance(event, Data)
            assert event.payload == LARGE[: len(event.payload)]
            opened.append(event.index)

    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(open_all)
        for record in sent:
            for frame in _fill(server, record):
                frames.put(frame)
        frames.put(None)
        opening.result()
    assert opened == list(range(count))


def test_connections_of_one_process_share_the_buffers_that_none_of_them_uses():
    spares = SpareBuffers(2)
    (client, server), (other, second) = (connection_pair.opened(spares) for _ in range(2))
    (frame,) = _fill(server, connection_pair.segment(client, 1, 0, LARGE))
    buffer = frame.buffer
    server.open_frame(frame)
    server.rest()
    (frame,) = _fill(second, connection_pair.segment(other, 1, 0, LARGE))
    assert frame.buffer is buffer
    (held,) = _fill(server, connection_pair.segment(client, 1, 1, LARGE))
    assert held.buffer is not buffer, "two connections would receive into the same memory"
    assert second.open_frame(frame) == Data(1, 0, memoryview(LARGE))
    assert server.open_frame(held) == Data(1, 1, memoryview(LARGE))


def test_an_incomplete_record_keeps_its_buffer_when_its_connection_ends():
    spares = SpareBuffers(2)
    client, server = connection_pair.opened(spares)
    _fill(server, connection_pair.segment(client, 1, 0, LARGE)[:-1])
    _, part, _ = server.set_aside()
    server.forget()
    assert all(part.obj is not spares.take() for _ in range(3))


def test_spare_buffers_that_are_not_needed_are_freed():
    spares = SpareBuffers(3)
    made = [spares.take() for _ in range(4)]
    for buffer in made:
        spares.give_back(buffer)
    spares.trim()
    used = [spares.take() for _ in range(2)]
    assert all(any(one is each for each in made) for one in used), "none of them was kept"
    for buffer in used:
        spares.give_back(buffer)
    spares.trim()
    kept = [spares.take() for _ in range(3)]
    assert sum(any(one is each for each in made) for one in kept) == len(used)
