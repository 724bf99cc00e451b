"""A client's connection to a scripted server."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from fsclient.connection.connection import ServerConnection
from fsclient.connection.retry import Timeouts
from fsproto import crypto
from fsproto.errors import RemoteProtocolError
from fsproto.link import Address, EnrollLink
from fsproto.messages import Message
from fsproto.messages.account import GetStatus, Recovery
from fsproto.messages.base import Done
from fsproto.messages.files import Lookup
from fsproto.types import NodeId, Token
from fsproto.wire.connection import NEED_DATA, Connection, Control, Event, Reply
from tests.support.connection_pair import server_end
from tests.support.fixed_keys import host_key

LONG = 1_000_000
"""Bytes of a message that does not fit in the socket buffers unless the peer receives."""
LITTLE = 1 << 17
PATIENCE = Timeouts(silence_s=5.0)


class Server:
    """The server's end of one connection, and its socket, which has small buffers."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._end: Connection = server_end()
        for _ in range(2):
            reply = self._event()
            assert isinstance(reply, Reply)
            sock.sendall(reply.data)

    def say(self, request: int, message: Message) -> None:
        """Send a message; block until the socket buffers have accepted all of it."""
        self.socket.sendall(self._end.send(request, message))

    def hear(self) -> Control:
        """Return the client's next message."""
        event = self._event()
        assert isinstance(event, Control)
        return event

    def _event(self) -> Event:
        while (event := self._end.next_event()) is NEED_DATA:
            self._end.receive_data(self.socket.recv(LITTLE))
        assert not isinstance(event, type(NEED_DATA))
        return event


@contextmanager
def connected(serve: Callable[[Server], None]) -> Iterator[ServerConnection]:
    """Connect to a server in a thread; fail at the end if the thread raised an error."""
    wrong: list[BaseException] = []
    listener = socket.socket()
    for memory in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        listener.setsockopt(socket.SOL_SOCKET, memory, LITTLE)
    listener.bind(("127.0.0.1", 0))
    listener.listen()

    def accept() -> None:
        try:
            with listener.accept()[0] as sock:
                sock.settimeout(30)
                serve(Server(sock))
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
            wrong.append(error)

    thread = threading.Thread(target=accept)
    thread.start()
    link = EnrollLink(
        "alice",
        Address("127.0.0.1", listener.getsockname()[1]),
        crypto.fingerprint(host_key().public),
    )
    try:
        with ServerConnection(link, PATIENCE) as connection:
            for memory in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                connection._line.setsockopt(socket.SOL_SOCKET, memory, LITTLE)
            yield connection
    finally:
        thread.join()
        listener.close()
    assert not wrong


def long_question() -> Lookup:
    return Lookup(NodeId(bytes(16)), [Token(bytes(32))] * (LONG // 34))


@pytest.mark.parametrize("ahead", [1, 3])
def test_who_sends_ahead_takes_what_the_server_says_before_it_receives_more(ahead: int) -> None:
    answers = [Recovery(bytes([n]) * LONG) for n in range(ahead)]

    def serve(server: Server) -> None:
        asked = [server.hear() for _ in answers]
        for one, answer in zip(asked, answers, strict=True):
            server.say(one.request, answer)  # before anything else is received
        last = server.hear()
        assert last == Control(ahead + 1, long_question())
        server.say(last.request, Done())

    with connected(serve) as connection:
        asked = [connection.send(GetStatus(), ahead=True) for _ in answers]
        last = connection.send(long_question())
        assert connection.answer(last, Done) == Done()
        assert [connection.answer(one, Recovery) for one in asked] == answers


def test_an_early_answer_is_kept_until_it_is_asked_for() -> None:
    def serve(server: Server) -> None:
        first, ahead = server.hear(), server.hear()
        server.say(first.request, Recovery(b"1" * LONG))
        server.say(ahead.request, Recovery(b"2" * LONG))
        last = server.hear()
        server.say(last.request, Done())

    with connected(serve) as connection:
        first = connection.send(GetStatus())
        ahead = connection.send(GetStatus(), ahead=True)
        last = connection.send(long_question())
        assert connection.answer(first, Recovery) == Recovery(b"1" * LONG)
        assert connection.answer(last, Done) == Done()
        assert connection.answer(ahead, Recovery) == Recovery(b"2" * LONG)


@pytest.mark.parametrize("number", [0, 3, 1000])
def test_an_answer_to_a_question_of_the_future_is_refused(number: int) -> None:
    def serve(server: Server) -> None:
        server.hear()
        server.hear()
        server.say(number, Done())

    with connected(serve) as connection:
        connection.send(GetStatus())
        with pytest.raises(RemoteProtocolError, match="sent a message without a request"):
            connection.interject(GetStatus(), Done)
        assert not connection.usable


def test_a_server_that_answers_what_was_not_asked_is_not_listened_to() -> None:
    def serve(server: Server) -> None:
        server.hear()
        with contextlib.suppress(OSError):
            for _ in range(3):
                server.say(1000, Recovery(bytes(LONG)))

    with connected(serve) as connection:
        connection.send(GetStatus(), ahead=True)
        with pytest.raises(RemoteProtocolError, match="sent a message without a request"):
            connection.send(long_question())
        assert not connection.usable
