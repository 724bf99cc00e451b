"""An attacker in the middle of a handshake: the two ends never both open a connection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsproto.errors import (
    ConnectionLost,
    FsError,
    HostKeyError,
    NotFsdError,
    RemoteProtocolError,
    VersionMismatchError,
)
from fsproto.wire.connection import Connection, ConnectionState
from tests.support import connection_pair
from tests.support import strategies as our

TO_SERVER, TO_CLIENT = (0, 2), (1, 3)
HOST_KEY_AT = 4 + 38 + 32 + 1088 + 2
"""Offset of the host key in a framed server_hello, in bytes."""


def exchange(change: dict[int, bytes]) -> tuple[Connection, Connection, list[FsError]]:
    """Run a handshake with some of its four messages changed; return both ends and the errors."""
    client, server = connection_pair.ends()
    errors: list[FsError] = []
    moving = client.start()
    for number in range(4):
        end = server if number in TO_SERVER else client
        moving = change.get(number, moving)
        if not moving:
            break
        try:
            moving = connection_pair.replies(end, moving)
        except FsError as error:
            errors.append(error)
            break
    return client, server, errors


def messages() -> list[bytes]:
    """Return the four messages of an undisturbed handshake."""
    client, server = connection_pair.ends()
    hello = client.start()
    answer = connection_pair.replies(server, hello)
    key = connection_pair.replies(client, answer)
    return [hello, answer, key, connection_pair.replies(server, key)]


@pytest.mark.parametrize("number", range(4))
@given(data=st.data())
def test_both_ends_never_open_over_a_changed_message(number: int, data: st.DataObject):
    client, server = connection_pair.ends()
    moving = client.start()
    for step in range(4):
        end = server if step in TO_SERVER else client
        if step == number:
            moving = data.draw(our.flipped(moving))
        error = None
        try:
            moving = connection_pair.replies(end, moving)
        except FsError as caught:
            error = caught
        if error or not moving:
            break
    assert not client.state is server.state is ConnectionState.OPEN
    # One end may be open already, but no peer has its keys.
    assert type(error) in (
        type(None),
        RemoteProtocolError,
        HostKeyError,
        NotFsdError,
        VersionMismatchError,
    )


@given(data=st.data())
def test_a_host_key_changed_anywhere_is_not_the_pinned_one(data: st.DataObject):
    client, server = connection_pair.ends()
    hello = connection_pair.replies(server, client.start())
    client.receive_data(data.draw(our.flipped(hello, start=HOST_KEY_AT)))
    with pytest.raises(HostKeyError):
        client.next_event()
    assert client.state is ConnectionState.CLOSED


@given(version=st.integers(0, 65535).filter(lambda version: version != 1))
def test_any_other_version_is_named_as_such_by_either_end(version: int):
    client, server = connection_pair.ends()
    hello = client.start()
    answer = connection_pair.replies(connection_pair.server_end(), hello)
    for end, message in ((server, hello), (client, answer)):
        end.receive_data(message[:8] + version.to_bytes(2, "big") + message[10:])
        with pytest.raises(VersionMismatchError, match=str(version)):
            end.next_event()


@given(
    banner=st.sampled_from([b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n", b"220 mail\r\n"])
    | st.binary(min_size=4).filter(lambda data: int.from_bytes(data[:4], "big") > 8192)
    | st.binary(min_size=6, max_size=99)
    .filter(lambda data: data[:4] != b"FSP1")
    .map(lambda data: len(data).to_bytes(4, "big") + data)
)
def test_another_protocol_is_distinguished_from_an_attack(banner: bytes):
    for end in connection_pair.ends():
        end.receive_data(banner)
        with pytest.raises(NotFsdError):
            end.next_event()


@given(arrives=st.binary(min_size=1, max_size=300), number=st.integers(0, 3))
def test_arbitrary_bytes_in_place_of_a_message_open_nothing(arrives: bytes, number: int):
    framed = len(arrives).to_bytes(4, "big") + arrives
    client, server, errors = exchange({number: framed})
    assert not client.state is server.state is ConnectionState.OPEN
    assert [type(error) for error in errors] in (
        [RemoteProtocolError],
        [NotFsdError],
        [VersionMismatchError],
    )


@pytest.mark.parametrize("number", range(4))
def test_a_message_of_another_exchange_opens_nothing(number: int):
    # The ends draw fresh randomness, so their keys differ from those of the recording.
    recorded = messages()
    client, server = (
        connection_pair.client_end("other client"),
        connection_pair.server_end("other server"),
    )
    moving = client.start()
    errors = []
    for step in range(4):
        end = server if step in TO_SERVER else client
        try:
            moving = connection_pair.replies(end, recorded[step] if step == number else moving)
        except FsError as error:
            errors.append(error)
            break
    assert not client.state is server.state is ConnectionState.OPEN
    assert [type(error) for error in errors] == [RemoteProtocolError]


@given(data=st.data())
def test_a_handshake_that_is_cut_ends_in_a_lost_connection(data: st.DataObject):
    number = data.draw(st.integers(0, 3))
    client, server = connection_pair.ends()
    moving = client.start()
    for step in range(number):
        moving = connection_pair.replies(server if step in TO_SERVER else client, moving)
    end = server if number in TO_SERVER else client
    assert connection_pair.replies(end, moving[: data.draw(st.integers(1, len(moving) - 1))]) == b""
    with pytest.raises(ConnectionLost):
        end.receive_data(b"")
    assert end.state is ConnectionState.CLOSED
