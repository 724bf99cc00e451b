"""Answers that wait for their readers: in order for each request, and not without a limit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsclient.connection.parked import ParkedAnswers
from fsproto.errors import OutOfSpaceError, RemoteProtocolError
from fsproto.messages.base import Done
from fsproto.messages.files import Sent
from fsproto.wire.connection import Control, Data


def segment(stream: int, index: int, payload: bytes = b"sealed") -> Data:
    return Data(stream, index, memoryview(payload))


def test_each_request_gets_its_answers_in_the_order_in_which_they_came() -> None:
    parked = ParkedAnswers()
    came: list[Control | Data] = [
        segment(1, 0),
        Control(2, Done()),
        segment(1, 1),
        Control(1, Sent(5)),
        segment(3, 0),
    ]
    for one in came:
        parked.add(one)
    assert [parked.take(1) for _ in range(3)] == [came[0], came[2], came[3]]
    assert 1 not in parked
    assert parked.take(3) == came[4]
    assert parked.take(2) == came[1]
    assert 2 not in parked
    parked.close()


def test_neither_too_many_bytes_nor_too_many_answers_wait() -> None:
    parked = ParkedAnswers(most_bytes=1000, most_events=3)
    for index in range(3):
        parked.add(segment(1, index))
    with pytest.raises(RemoteProtocolError, match="more than was asked for"):
        parked.add(segment(1, 3))
    parked.close()
    parked.add(segment(1, 0, bytes(900)))
    with pytest.raises(RemoteProtocolError, match="more than was asked for"):
        parked.add(segment(2, 0, bytes(100)))


def test_what_was_read_makes_room() -> None:
    parked = ParkedAnswers(most_bytes=1000, most_events=1)
    for index in range(5):
        parked.add(segment(1, index, bytes(900)))
        assert parked.take(1) == segment(1, index, bytes(900))


@pytest.fixture
def full_disk() -> Iterator[None]:
    """Let this process write no file longer than 1 MiB."""
    resource = pytest.importorskip("resource", reason="A LIMIT ON FILES IS NOT TESTED HERE")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("full_disk")
def test_a_full_temporary_folder_ends_with_a_sentence() -> None:
    parked = ParkedAnswers()

    def fill() -> None:
        for index in range(20):
            parked.add(segment(1, index, bytes(1 << 20)))

    with pytest.raises(OutOfSpaceError, match=r"cannot be kept in a temporary file: .+\.$"):
        fill()
    parked.close()
