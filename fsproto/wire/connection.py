"""One connection, without its socket: bytes in, events out; messages in, bytes out.

Feed what arrived to `receive_data`, then call `next_event` until it returns `NEED_DATA`. What
`send` and `send_data` return goes to the peer, in that order. `wanted` says how many bytes the
next step needs, so that a reader can ask its socket for exactly those.

    state        client: what ends it                server: what ends it
    HELLO        server_hello → CONFIRM               client_hello → KEY
    KEY          -                                    client_key → OPEN
    CONFIRM      server_confirm → OPEN                -
    OPEN         (records)                            (records)
    CLOSED       nothing: the connection failed or the peer's bytes ended

A client may send as soon as it has received the hello (state CONFIRM). Any error caused by the
peer's bytes raises one `FsError` and closes for good.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from fsproto.errors import (
    ConnectionLost,
    FsError,
    NotFsdError,
    RemoteProtocolError,
    VersionMismatchError,
)
from fsproto.limits import MAX_HANDSHAKE_MESSAGE, MAX_RECORD
from fsproto.messages import Message, decode, encode
from fsproto.wire.handshake import REFUSAL, Channel, ClientHandshake, ServerHandshake
from fsproto.wire.records import (
    CONTROL,
    CONTROL_HEADER,
    DATA,
    DATA_HEADER,
    LENGTH,
    body_length,
)


class State(enum.Enum):
    """Where a connection stands."""

    HELLO = enum.auto()
    KEY = enum.auto()
    CONFIRM = enum.auto()
    OPEN = enum.auto()
    CLOSED = enum.auto()


class NeedData(enum.Enum):
    """Type of `NEED_DATA`."""

    NEED_DATA = enum.auto()


NEED_DATA: Final = NeedData.NEED_DATA


@dataclass(frozen=True)
class Reply:
    """A handshake message that must be sent before anything else."""

    data: bytes


@dataclass(frozen=True)
class Ready:
    """The exchange is complete: the peer holds the same keys."""


@dataclass(frozen=True)
class Control:
    """One message, with the number of the request that it makes or answers."""

    request: int
    message: Message


@dataclass(frozen=True)
class Data:
    """One segment of a stream."""

    stream: int
    index: int
    payload: memoryview


Event = Reply | Ready | Control | Data


class Connection:
    """Framing, handshake and records of one end. Not for use by two threads at once per direction.

    Sending and receiving touch disjoint state once the exchange is done, so one thread may send
    while another receives.
    """

    def __init__(self, handshake: ClientHandshake | ServerHandshake) -> None:
        """Take the half of the handshake that makes this a client's or a server's end."""
        self._handshake = handshake
        self._state = State.HELLO
        self._channel: Channel | None = None
        self._buffer = bytearray()

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._state

    @property
    def channel_id(self) -> bytes:
        """32 bytes that name this channel; known once the keys are."""
        return self._keys().channel_id

    def start(self) -> bytes:
        """Return what to send first: a client's hello, nothing for a server."""
        if isinstance(self._handshake, ClientHandshake):
            return _framed(self._handshake.hello)
        return b""

    # --- sending

    def send(self, request: int, message: Message) -> bytes:
        """Return the record that carries `message`; `ValueError` if it does not fit in one."""
        return self._keys().sealer.seal(CONTROL_HEADER.pack(CONTROL, request) + encode(message))

    def send_data(self, stream: int, index: int, payload: bytes | memoryview) -> bytes:
        """Return the record that carries one segment."""
        return self._keys().sealer.seal(b"".join((DATA_HEADER.pack(DATA, stream, index), payload)))

    def _keys(self) -> Channel:
        if self._channel is None or self._state is State.CLOSED:
            raise RuntimeError("this connection cannot carry messages now")
        return self._channel

    # --- receiving

    def receive_data(self, data: bytes | memoryview) -> None:
        """Take bytes from the peer; empty bytes mean that it will send no more."""
        if not data:
            self._state = State.CLOSED
            raise ConnectionLost
        self._buffer += data

    def wanted(self) -> int:
        """Return how many more bytes `next_event` needs before it can say anything new."""
        if len(self._buffer) < LENGTH.size:
            return LENGTH.size - len(self._buffer)
        length: int = LENGTH.unpack_from(self._buffer)[0]
        if length > self._limit():
            return 0  # not worth waiting for: `next_event` refuses it
        return max(0, LENGTH.size + length - len(self._buffer))

    def next_event(self) -> Event | NeedData:
        """Return the next event, or `NEED_DATA`; raises the peer's error as an `FsError`."""
        if self._state is State.CLOSED:
            raise ConnectionLost
        try:
            return self._next_event()
        except FsError:
            self._state = State.CLOSED
            raise

    def _limit(self) -> int:
        return MAX_RECORD if self._state is State.OPEN else MAX_HANDSHAKE_MESSAGE

    def _next_event(self) -> Event | NeedData:
        if len(self._buffer) < LENGTH.size:
            return NEED_DATA
        header = bytes(self._buffer[: LENGTH.size])
        if self._state is State.HELLO:
            _check_hello_length(header)
        length = body_length(header, self._limit())
        end = LENGTH.size + length
        if len(self._buffer) < end:
            return NEED_DATA
        if self._state is State.OPEN:
            with memoryview(self._buffer) as view, view[LENGTH.size : end] as body:
                plaintext = self._keys().opener.open(header, body)
            del self._buffer[:end]
            return _parse(plaintext)
        message = bytes(self._buffer[LENGTH.size : end])
        del self._buffer[:end]
        return self._advance(message)

    def _advance(self, message: bytes) -> Event:
        match self._state, self._handshake:
            case State.HELLO, ClientHandshake() as client:
                answer, self._channel = client.receive_hello(message)
                self._state = State.CONFIRM
                return Reply(_framed(answer))
            case State.CONFIRM, ClientHandshake() as client:
                client.receive_confirm(message)
                self._state = State.OPEN
                return Ready()
            case State.HELLO, ServerHandshake() as server:
                answer = server.receive_hello(message)
                self._state = State.KEY
                return Reply(_framed(answer))
            case State.KEY, ServerHandshake() as server:
                confirm, self._channel = server.receive_key(message)
                self._state = State.OPEN
                return Reply(_framed(confirm))
        raise RuntimeError("no such state")  # the table above has no other pair

    def refusal(self, error: FsError) -> bytes:
        """Return what a server may still tell a client whose hello failed with `error`."""
        return _framed(REFUSAL) if isinstance(error, VersionMismatchError) else b""


def _framed(message: bytes) -> bytes:
    return LENGTH.pack(len(message)) + message


def _check_hello_length(header: bytes) -> None:
    """Tell a stranger's protocol (`HTTP`, `SSH-`) from an attack on ours."""
    if LENGTH.unpack(header)[0] > MAX_HANDSHAKE_MESSAGE:
        raise NotFsdError


def _parse(plaintext: bytes) -> Event:
    kind = plaintext[0] if plaintext else 0
    if kind == DATA and len(plaintext) >= DATA_HEADER.size:
        _, stream, index = DATA_HEADER.unpack_from(plaintext)
        return Data(stream, index, memoryview(plaintext)[DATA_HEADER.size :])
    if kind == CONTROL and len(plaintext) >= CONTROL_HEADER.size:
        _, request = CONTROL_HEADER.unpack_from(plaintext)
        return Control(request, decode(memoryview(plaintext)[CONTROL_HEADER.size :]))
    raise RemoteProtocolError("The other end sent a record of an unknown kind.")
