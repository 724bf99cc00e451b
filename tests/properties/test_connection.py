"""Connections: splitting the bytes changes nothing, and tampered bytes deliver nothing."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fsproto.errors import ConnectionLost, RemoteProtocolError
from fsproto.limits import MAX_RECORD
from fsproto.wire.connection import NEED_DATA, Connection, ConnectionState, Control, Data, Event
from tests.support import connection_pair
from tests.support import strategies as our

controls = st.builds(Control, st.integers(0, (1 << 32) - 1), our.messages)
data_parts = st.builds(
    Data, st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1), st.binary().map(memoryview)
)
said = st.lists(controls | data_parts, min_size=1, max_size=6)


def records_of(end: Connection, said: list[Event]) -> list[bytes]:
    """Return the bytes that `end` sends, one record for each event."""
    return [
        end.send(event.request, event.message)
        if isinstance(event, Control)
        else connection_pair.segment(end, event.stream, event.index, event.payload)
        for event in said
        if isinstance(event, Control | Data)
    ]


# --- split in any way


@given(data=st.data(), said=said)
def test_records_mean_the_same_in_whatever_pieces_they_arrive(
    data: st.DataObject, said: list[Event]
):
    client, server = connection_pair.opened()
    arrived: list[Event] = []
    for piece in data.draw(our.cuttings(b"".join(records_of(client, said)))):
        arrived += connection_pair.events(server, piece)
    assert arrived == said


@given(data=st.data(), said=said)
def test_records_mean_the_same_in_whatever_shares_of_the_room_they_arrive(
    data: st.DataObject, said: list[Event]
):
    client, server = connection_pair.opened()
    stream = b"".join(records_of(client, said))
    arrived: list[Event] = []
    into = memoryview(bytearray(MAX_RECORD))
    while stream or len(arrived) < len(said):
        frame = server.take_frame()
        if frame is not None:
            arrived.append(server.open_frame(frame, into))
            continue
        room = server.room()
        count = data.draw(st.integers(1, min(len(room), len(stream))))
        room[:count], stream = stream[:count], stream[count:]
        server.received(count)
    assert arrived == said
    assert server.take_frame() is None


@given(data=st.data())
def test_a_handshake_succeeds_in_whatever_pieces_it_arrives(data: st.DataObject):
    client, server = connection_pair.ends()
    moving = client.start()
    for end in (server, client, server, client):
        answer = b""
        for piece in data.draw(our.cuttings(moving)):
            answer += connection_pair.replies(end, piece)
        moving = answer
    assert client.state is server.state is ConnectionState.OPEN
    assert client.channel_id == server.channel_id


@given(said=said)
def test_a_reader_that_asks_for_what_is_wanted_never_reads_too_much_or_too_little(
    said: list[Event],
):
    client, server = connection_pair.opened()
    stream = b"".join(records_of(client, said))
    arrived: list[Event] = []
    while stream:
        wanted = server.wanted()
        assert 0 < wanted <= len(stream)
        server.receive_data(stream[:wanted])
        stream = stream[wanted:]
        if (event := server.next_event()) is not NEED_DATA:
            arrived.append(event)
    assert arrived == said


# --- tampered bytes


@st.composite
def tampered(draw: st.DrawFn, records: list[bytes]) -> bytes:
    """Draw the records' bytes after an attacker on the network has changed them."""
    parts = list(records)
    at = draw(st.integers(0, len(parts) - 1))
    match draw(st.sampled_from(["flip", "drop", "repeat", "swap", "insert", "replace", "cut"])):
        case "flip":
            parts[at] = draw(our.flipped(parts[at]))
        case "drop":
            # Dropping the last record is a cut; another test covers it.
            assume(at < len(parts) - 1)
            del parts[at]
        case "repeat":
            parts.insert(at + 1, parts[at])
        case "swap":
            other = draw(st.integers(0, len(parts) - 1))
            assume(at != other)
            parts[at], parts[other] = parts[other], parts[at]
        case "insert":
            body = draw(st.binary(min_size=1, max_size=80))
            parts.insert(at, len(body).to_bytes(4, "big") + body)
        case "replace":
            parts[at] = parts[at][:4] + draw(our.exactly(len(parts[at]) - 4))
        case "cut":
            size = draw(st.integers(0, len(parts[at]) - 1))
            parts[at] = parts[at][:size]
            assume(size or at < len(parts) - 1)
    changed = b"".join(parts)
    assume(changed != b"".join(records))
    return changed


@given(data=st.data(), said=said)
def test_whatever_is_done_to_records_ends_the_connection_and_nothing_wrong_gets_through(
    data: st.DataObject, said: list[Event]
):
    client, server = connection_pair.opened()
    arrives = data.draw(tampered(records_of(client, said)))
    arrived: list[Event] = []
    pieces = data.draw(our.cuttings(arrives))

    def read_to_the_end() -> None:
        for piece in pieces:
            server.receive_data(piece)
            while (event := server.next_event()) is not NEED_DATA:
                arrived.append(event)
        server.receive_data(b"")

    error = our.outcome(read_to_the_end)
    assert type(error) in (RemoteProtocolError, ConnectionLost)
    assert arrived == said[: len(arrived)]
    # All events can arrive only if the attacker added bytes after them: a protocol error.
    assert len(arrived) < len(said) or type(error) is RemoteProtocolError
    _stays_closed(server, client)


@given(data=st.data(), said=said)
def test_a_cut_is_told_from_an_end_by_the_error_alone(data: st.DataObject, said: list[Event]):
    client, server = connection_pair.opened()
    stream = b"".join(records_of(client, said))
    cut = stream[: data.draw(st.integers(0, len(stream) - 1))]
    arrived = list(connection_pair.events(server, cut))
    with pytest.raises(ConnectionLost):
        server.receive_data(b"")
    assert arrived == said[: len(arrived)]
    assert len(arrived) < len(said)
    _stays_closed(server, client)


@given(said=said)
def test_a_record_that_comes_back_to_its_sender_is_refused(said: list[Event]):
    client, _ = connection_pair.opened()
    client.receive_data(records_of(client, said)[0])
    with pytest.raises(RemoteProtocolError):
        client.next_event()


@given(said=said)
def test_a_record_of_another_connection_is_refused(said: list[Event]):
    (client, _), (_, server) = connection_pair.opened(), connection_pair.opened()
    server.receive_data(records_of(client, said)[0])
    with pytest.raises(RemoteProtocolError):
        server.next_event()


@given(plaintext=st.binary(max_size=60))
def test_any_plaintext_in_a_record_is_an_event_or_ends_the_connection(plaintext: bytes):
    client, server = connection_pair.opened()
    server.receive_data(connection_pair.raw(client, plaintext))
    try:
        assert isinstance(server.next_event(), Control | Data)
    except RemoteProtocolError:
        _stays_closed(server, client)


def _stays_closed(end: Connection, peer: Connection) -> None:
    assert end.state is ConnectionState.CLOSED
    end.receive_data(connection_pair.raw(peer, b"\x02" + bytes(12)))
    for _ in range(2):
        with pytest.raises(ConnectionLost):
            end.next_event()
    with pytest.raises(RuntimeError):
        connection_pair.segment(end, 0, 0, b"")
