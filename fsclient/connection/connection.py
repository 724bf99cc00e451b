"""A blocking connection to the server: messages in both directions over one socket."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self, TypeVar

from msgspec.structs import replace

from fsclient.connection.line import line_to
from fsclient.connection.parked import ParkedAnswers, number_of
from fsclient.connection.refusals import error_of
from fsclient.connection.retry import Timeouts
from fsproto import crypto, host_key_moves
from fsproto.errors import (
    ConnectionLost,
    FsError,
    NotFsdError,
    RemoteProtocolError,
    Unreachable,
)
from fsproto.limits import MAX_HANDSHAKE_MESSAGE, MAX_RECORD
from fsproto.link import EnrollLink
from fsproto.messages import Failure, Message
from fsproto.wire.connection import (
    RECORD_ROOM,
    Connection,
    ConnectionState,
    Control,
    Data,
    Event,
    Ready,
    Reply,
)
from fsproto.wire.frames import SMALL, FrameBuffers
from fsproto.wire.handshake import ClientHandshake
from fsproto.wire.records import LENGTH

if TYPE_CHECKING:
    from fsclient.connection.bandwidth import Bandwidth, LimitedSocket
    from fsclient.connection.proxy_command import ProxyCommand
    from fsproto.host_key_moves import Statement

M = TypeVar("M", bound=Message)


class EndedAtOnceError(NotFsdError):
    """The server ended the connection before it proved to be an fsd.

    A balancer does so with the connections to a node that is down.
    """


class ServerConnection:
    """One connection; requests are numbered, and answered in the order they were sent."""

    def __init__(
        self,
        link: EnrollLink,
        patience: Timeouts | None = None,
        *,
        after: int = 0,
        via: str | None = None,
        asks: bool = False,
    ) -> None:
        """Connect and exchange keys up to where a first message can be sent.

        With `asks`, ask first who vouches for another host key than the pinned one, and expect that
        key, if any.

        `after` is the `last_request` of the connection whose place this one takes, if there is
        one: an answer that is still awaited over that connection is lost. `via` is the command line
        of a program that carries the connection, if there is one.

        Raises `Unreachable` and its kinds, and `HostKeyError` unless the host key is the pinned
        one; in that case nothing but a hello was sent.
        """
        self.link = link
        """Where it leads, and the host key that was shown there."""
        self._where = link.address
        self._patience = patience or Timeouts()
        self._connection = Connection(ClientHandshake(link.host_key, os.urandom))
        self._request = self._first = after
        self._awaited: set[int] = set()
        self._came: dict[int, Control] = {}
        self._early = ParkedAnswers()
        """Answers of requests that the caller reads later, after a request in between."""
        self._outgoing = FrameBuffers()
        self._plain: memoryview | None = None
        """The buffer for opening large messages."""
        self.moved: Statement | None = None
        """With `asks`: the last statement that leads to the host key of the link; None: none."""
        self._opened = False
        self._proxy: ProxyCommand | None = None
        with self._translated():
            self._line, self._proxy = line_to(link.address, self._patience, via)
            self._socket: socket.socket | LimitedSocket = self._line
            self._opened = True
        try:
            with self._translated():
                if asks:
                    self._ask_for_moves()
                self._line.sendall(self._connection.start())
                self._held = self._reply()
                self._socket.settimeout(self._patience.silence_s)
        except ConnectionLost:
            lost = self._ended_at_once()
            self.close()
            raise lost from None
        except BaseException:
            self.close()
            raise

    def _ask_for_moves(self) -> None:
        """Ask who vouches for another host key, and expect the last key that is vouched for."""
        expected = self.link.host_key
        question = host_key_moves.question(crypto.digest_of(expected))
        self._line.sendall(LENGTH.pack(len(question)) + question)
        (length,) = LENGTH.unpack(self._exactly(LENGTH.size))
        if length > MAX_HANDSHAKE_MESSAGE:
            raise RemoteProtocolError("The server's answer about its former host key is too long.")
        self.moved = host_key_moves.follow(self._exactly(length), expected)
        if self.moved is not None:
            self.link = replace(self.link, host_key=self.moved.successor)
            self._connection = Connection(ClientHandshake(self.link.host_key, os.urandom))

    def _exactly(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size:
            piece = self._line.recv(size - len(received))
            if not piece:
                raise ConnectionLost
            received += piece
        return bytes(received)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def channel_id(self) -> bytes:
        """32 bytes that name this connection; a login signs them."""
        return self._connection.channel_id

    @property
    def last_request(self) -> int:
        """The number of the last sent request."""
        return self._request

    @property
    def usable(self) -> bool:
        """Return whether the connection has neither ended nor failed."""
        return self._connection.state is not ConnectionState.CLOSED and self._socket.fileno() >= 0

    @property
    def at_rest(self) -> bool:
        """Return whether the connection is usable without unread bytes; call it between requests.

        Unread bytes mean the end of the connection: the server stopped, or ended the session.
        """
        return self.usable and not self._readable()

    def limit(self, bandwidth: Bandwidth | None) -> None:
        """Keep to a limit of bandwidth from now on, or to none."""
        self._socket = self._line if bandwidth is None else bandwidth.on(self._line)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        self._early.close()
        if self._proxy is not None:
            self._proxy.close()

    def confirm(self) -> None:
        """Complete the handshake, in which the server proves its host key, before any message."""
        self._put(b"")
        if not isinstance(self._next(), Ready):
            raise self._broken("The server did not complete the exchange of keys.")

    # --- sending

    def send(self, message: Message, *, ahead: bool = False) -> int:
        """Send a request without waiting; return its number.

        A request sent `ahead` has one answer, and the caller may read it after the answers of
        later requests. The caller reads all other answers in the order of the requests.
        """
        self._request += 1
        if ahead:
            self._awaited.add(self._request)
        self.go_on(self._request, message)
        return self._request

    def go_on(self, request: int, message: Message) -> None:
        """Send a further message of a request in progress."""
        self._check_usable()
        self._put(self._connection.send_in(self._outgoing, request, message))

    def send_segment(self, request: int, index: int, segment: memoryview) -> None:
        """Send a segment of an upload; raise the failure if the server has refused the upload.

        `segment` starts with `DATA_ROOM` free bytes, so that it need not be copied.
        """
        self._check_usable()
        record = self._outgoing.frame(len(segment) + RECORD_ROOM)
        self._put(self._connection.seal_segment(request, index, segment, record))
        self._awaited.add(request)
        while self._readable():
            if not self._set_aside(self._event()):
                raise self._broken("The server sent a message without a request.")
        failed = self._came.pop(request, None)
        if failed is not None:
            if isinstance(failed.message, Failure):
                raise error_of(failed.message)
            raise self._broken("The server answered another request.")

    def _put(self, data: bytes | memoryview) -> None:
        with self._translated():
            if self._held:  # one packet for the end of the handshake and the login
                data, self._held = self._held + bytes(data), b""
            self._put_all(memoryview(data))

    def _put_all(self, left: memoryview) -> None:
        """Send a message within `frame_s`; `sendall` would allow only the socket's timeout."""
        ends = 0.0
        while left:
            if self._awaited:
                self._receive_until_room()
            left = left[self._socket.send(left) :]
            if left:
                ends = ends or time.monotonic() + self._patience.frame_s
                if time.monotonic() > ends:
                    raise TimeoutError

    def _receive_until_room(self) -> None:
        """Wait until the socket accepts data, and store the answers that arrive before that.

        A server that cannot send its answer stops receiving. Without this method, both ends could
        wait for each other forever.
        """
        while True:
            silence_s = self._socket.gettimeout()
            came, room, _ = select.select([self._socket], [self._socket], [], silence_s)
            if room:
                return
            if not came:
                raise TimeoutError
            self._keep(self._event())

    # --- receiving

    def answer(self, request: int, *kinds: type[M], slow: bool = False) -> M:
        """Return the answer to a request; raise the error that the server reports.

        `slow` allows more time, if the server may first have to read or write a whole file.
        """
        if slow and self.usable:
            self._socket.settimeout(self._patience.frame_s)
        try:
            event = self.next_of(request)
        finally:
            if slow and self.usable:
                self._socket.settimeout(self._patience.silence_s)
        if isinstance(event, Control) and isinstance(event.message, kinds):
            return event.message
        raise self._broken("The server answered another request.")

    def next_of(self, request: int, into: memoryview | None = None) -> Control | Data:
        """Return the next answer or segment of `request`; raise the failure of the request.

        A segment may be stored in `into`, if that is given.
        """
        event: Control | Data | None = self._came.pop(request, None)
        if event is None and request in self._early:
            event = self._early.take(request)
        while event is None:
            if request <= self._first:
                raise ConnectionLost(f"The connection to {self._where} was lost.")
            self._awaited.discard(request)
            event = self._event(into)
            if self._set_aside(event):
                event = None
        match event:
            case Control(number, message) if number == request:
                if isinstance(message, Failure):
                    raise error_of(message)
                return event
            case Data(stream) if stream == request:
                return event
        raise self._broken("The server answered a different request than expected.")

    def _set_aside(self, event: Control | Data) -> bool:
        """Store an answer that the caller reads later; return whether it is such an answer."""
        if not isinstance(event, Control) or event.request not in self._awaited:
            return False
        self._awaited.remove(event.request)
        self._came[event.request] = event
        return True

    def call(self, message: Message, *kinds: type[M]) -> M:
        """Send a request and return its answer."""
        return self.answer(self.send(message), *kinds)

    def interject(self, message: Message, *kinds: type[M]) -> M:
        """Send a request and return its answer, whatever else is under way.

        What comes before it is kept for those who asked for it.
        """
        request = self.send(message)
        number = 0
        while number != request:
            number = self._keep(self._event())
        return self.answer(request, *kinds)

    def _keep(self, event: Control | Data) -> int:
        """Store an answer until the caller reads it; return the number of its request."""
        number = number_of(event)
        if not self._first < number <= self._request:
            raise self._broken("The server sent a message without a request.")
        if not self._set_aside(event):
            try:
                self._early.add(event)
            except FsError:
                self.close()  # an answer is missing from now on
                raise
        return number

    def _event(self, into: memoryview | None = None) -> Control | Data:
        while True:
            event = self._next(into)
            if isinstance(event, Control | Data):
                return event

    def _next(self, into: memoryview | None = None) -> Event:
        connection = self._connection
        ends = 0.0
        while (frame := connection.take_frame()) is None:
            self._check_usable()
            with self._translated():
                connection.received(self._socket.recv_into(connection.room()))
                now = time.monotonic()
                ends = ends or now + self._patience.frame_s
                if now > ends:
                    raise TimeoutError
        if into is not None or len(frame.body) <= SMALL:
            return connection.open_frame(frame, into)
        if self._plain is None:
            self._plain = memoryview(bytearray(MAX_RECORD))
        event = connection.open_frame(frame, self._plain)
        return _kept(event) if isinstance(event, Data) else event

    def _reply(self) -> bytes:
        event = self._next()
        if not isinstance(event, Reply):
            raise RemoteProtocolError("The server did not complete the exchange of keys.")
        return event.data

    def _ended_at_once(self) -> Unreachable:
        if self._proxy is not None:
            return self._proxy.failed()
        return EndedAtOnceError(
            f"The server at {self._where} ended the connection at once.",
            hint="It may not be an fsd, or it may be overloaded; check host and port.",
        )

    def _broken(self, sentence: str) -> RemoteProtocolError:
        """Close the connection after a violation of the protocol, and return the error."""
        self.close()
        return RemoteProtocolError(sentence)

    def _check_usable(self) -> None:
        """Raise `ConnectionLost` after the end: a caller may not know of it yet."""
        if not self.usable:
            raise ConnectionLost(f"The connection to {self._where} was lost.")

    def _readable(self) -> bool:
        with self._translated():
            return bool(select.select([self._socket], [], [], 0)[0])

    def _give_up(self) -> None:
        """Close, if it was ever open: a message may have been cut in the middle."""
        if self._opened:
            self._socket.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            self._give_up()
            raise Unreachable(f"The server at {self._where} does not answer.") from None
        except (socket.gaierror, UnicodeError):
            raise Unreachable(
                f"The host {self._where.host} is not known.", hint="Check the name and the network."
            ) from None
        except (ConnectionResetError, BrokenPipeError, ConnectionAbortedError):
            self._give_up()
            raise ConnectionLost(f"The connection to {self._where} was lost.") from None
        except OSError as error:
            self._give_up()
            raise Unreachable(
                f"The server at {self._where} cannot be reached: {error.strerror or error}.",
                hint="Is it running, and does the network reach it?",
            ) from None


def _kept(segment: Data) -> Data:
    """Return a segment with memory of its own: that which it came in is used again."""
    return Data(segment.stream, segment.index, memoryview(bytes(segment.payload)))
