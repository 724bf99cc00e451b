"""One connection, without its socket: bytes in, events out; messages in, bytes out.

Feed what arrived to `receive_data`, then call `next_event` until it returns `NEED_DATA`. What
`send` and `send_data` return goes to the peer, in that order. A reader in a hurry lets its socket
fill `room` instead, and may take a frame here and open it in another thread.

    state        client: what ends it                server: what ends it
    HELLO        server_hello → CONFIRM               client_hello → KEY, or a question about
                                                      former host keys → CLOSED
    KEY          -                                    client_key → OPEN
    CONFIRM      server_confirm → OPEN                -
    OPEN         (records)                            (records)
    CLOSED       nothing: the connection failed or the peer's bytes ended

A client may send as soon as it has received the hello (state CONFIRM). Any error caused by the
peer's bytes raises one `FsError` and closes for good.
"""

from __future__ import annotations

import enum
from typing import Final

from fsproto import host_key_moves
from fsproto.crypto import TAG_SIZE
from fsproto.errors import (
    ConnectionLost,
    FsError,
    RemoteProtocolError,
    VersionMismatchError,
)
from fsproto.limits import MAX_HANDSHAKE_MESSAGE, MAX_RECORD
from fsproto.messages import Message, decode, encode, encode_behind
from fsproto.values import Value
from fsproto.wire.frames import SMALL, Frame, FrameBuffers, FrameReceiver
from fsproto.wire.handshake import REFUSAL, Channel, ClientHandshake, ServerHandshake
from fsproto.wire.records import (
    CONTROL,
    CONTROL_HEADER,
    DATA,
    DATA_HEADER,
    LENGTH,
)


class ConnectionState(enum.Enum):
    """Where a connection stands."""

    HELLO = enum.auto()
    KEY = enum.auto()
    CONFIRM = enum.auto()
    OPEN = enum.auto()
    CLOSED = enum.auto()


class ConnectionOver(RuntimeError):
    """The connection is closed; nothing can be said or opened on it any more.

    Whoever receives in one place and works in another can meet it through nobody's fault: the
    peer's end came meanwhile.
    """


class NeedData(enum.Enum):
    """Type of `NEED_DATA`."""

    NEED_DATA = enum.auto()


DATA_ROOM = DATA_HEADER.size
RECORD_ROOM = LENGTH.size + TAG_SIZE
NEED_DATA: Final = NeedData.NEED_DATA


class Reply(Value, frozen=True):
    """A handshake message that must be sent before anything else."""

    data: bytes


class Ready(Value, frozen=True):
    """The exchange is complete: the peer holds the same keys."""


class Control(Value, frozen=True):
    """One message, with the number of the request that it makes or answers."""

    request: int
    message: Message


class Data(Value, frozen=True):
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
        self._state = ConnectionState.HELLO
        self._channel: Channel | None = None
        self._incoming = FrameReceiver()
        self._pending = bytearray()
        self.longest = MAX_RECORD
        """Bytes of the longest record that is taken."""

    @property
    def state(self) -> ConnectionState:
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

    def send_in(self, out: FrameBuffers, request: int, message: Message) -> bytes | memoryview:
        """Do what `send` does, with the memory of `out` for a large record."""
        sealer = self._keys().sealer
        encode_behind(CONTROL_HEADER.pack(CONTROL, request), message, out.packed)
        if len(out.packed) <= SMALL:
            return sealer.seal(out.packed)
        return sealer.seal_into(out.packed, out.frame(len(out.packed) + RECORD_ROOM))

    def send_data(self, stream: int, index: int, payload: bytes | memoryview) -> bytes:
        """Return the record that carries one segment."""
        return self._keys().sealer.seal(b"".join((DATA_HEADER.pack(DATA, stream, index), payload)))

    def seal_segment(
        self, stream: int, index: int, segment: memoryview, out: memoryview
    ) -> memoryview:
        """Make the record of a segment in `out`, without copying the segment.

        `segment` begins with `DATA_ROOM` bytes of room for its address. `out` has
        `RECORD_ROOM` bytes more. Returns the part of `out` that is the record.
        """
        DATA_HEADER.pack_into(segment, 0, DATA, stream, index)
        return self._keys().sealer.seal_into(segment, out)

    def _keys(self) -> Channel:
        if self._channel is None:
            raise RuntimeError("this connection cannot carry messages yet")
        if self._state is ConnectionState.CLOSED:
            raise ConnectionOver
        return self._channel

    # --- receiving

    def room(self) -> memoryview:
        """Return where the next bytes from the peer go; fill a part of it, then call `received`.

        It is as long as what is missing of the frame under way. Only after `take_frame` gave
        None does it have a length.
        """
        return self._incoming.room()

    def received(self, count: int) -> None:
        """Say that so many bytes of `room` were filled; 0 means that no more will come."""
        if not count:
            self._state = ConnectionState.CLOSED
            raise ConnectionLost
        self._incoming.filled(count)

    def receive_data(self, data: bytes | memoryview) -> None:
        """Take bytes in whatever pieces they come; empty bytes mean that no more will come."""
        if not data:
            self.received(0)
        self._pending += data

    def wanted(self) -> int:
        """Return how many more bytes `next_event` needs before it can say anything new."""
        try:
            return 0 if self._whole() else len(self._incoming.room())
        except FsError:
            return 0  # not worth waiting for: `next_event` refuses it

    def take_frame(self) -> Frame | None:
        """Return the next whole frame, or None; `FsError` for one that is too long.

        Frames must be opened in the order they were taken, but may be opened in another thread
        while the next one is being received.
        """
        if self._state is ConnectionState.CLOSED:
            raise ConnectionLost
        try:
            return self._incoming.take() if self._whole() else None
        except FsError:
            self._state = ConnectionState.CLOSED
            raise

    def _whole(self) -> bool:
        """Tell whether there is a whole frame, having used up what `receive_data` was given."""
        incoming, hello = self._incoming, self._state is ConnectionState.HELLO
        while not (whole := incoming.whole(self._limit(), hello=hello)) and self._pending:
            room = incoming.room()
            count = min(len(room), len(self._pending))
            room[:count] = self._pending[:count]
            del self._pending[:count]
            incoming.filled(count)
        return whole

    def open_frame(self, frame: Frame, into: memoryview | None = None) -> Event:
        """Return what a frame says; raises the peer's error as an `FsError`, and closes.

        With `into`, a large record is opened there, and the event holds a view of it.
        """
        try:
            if self._state is ConnectionState.CLOSED:
                raise ConnectionOver
            if self._state is not ConnectionState.OPEN:
                return self._advance(bytes(frame.body))
            opener = self._keys().opener
            if into is not None and len(frame.body) > SMALL:
                return _parse(opener.open_into(frame.header, frame.body, into))
            return _parse(memoryview(opener.open(frame.header, frame.body)))
        except FsError:
            self._state = ConnectionState.CLOSED
            raise
        finally:
            self._incoming.give_back(frame)

    def next_event(self) -> Event | NeedData:
        """Return the next event, or `NEED_DATA`; raises the peer's error as an `FsError`."""
        frame = self.take_frame()
        return NEED_DATA if frame is None else self.open_frame(frame)

    def _limit(self) -> int:
        return self.longest if self._state is ConnectionState.OPEN else MAX_HANDSHAKE_MESSAGE

    def _advance(self, message: bytes) -> Event:
        match self._state, self._handshake:
            case ConnectionState.HELLO, ClientHandshake() as client:
                answer, self._channel = client.receive_hello(message)
                self._state = ConnectionState.CONFIRM
                return Reply(_framed(answer))
            case ConnectionState.CONFIRM, ClientHandshake() as client:
                client.receive_confirm(message)
                self._state = ConnectionState.OPEN
                return Ready()
            case ConnectionState.HELLO, ServerHandshake() as server if host_key_moves.is_question(
                message
            ):
                answer = server.receive_question(message)
                self._state = ConnectionState.CLOSED  # it was all that is said on such a connection
                return Reply(_framed(answer))
            case ConnectionState.HELLO, ServerHandshake() as server:
                answer = server.receive_hello(message)
                self._state = ConnectionState.KEY
                return Reply(_framed(answer))
            case ConnectionState.KEY, ServerHandshake() as server:
                confirm, self._channel = server.receive_key(message)
                self._state = ConnectionState.OPEN
                return Reply(_framed(confirm))
        raise RuntimeError("no such state")  # the table above has no other pair

    def refusal(self, error: FsError) -> bytes:
        """Return what a server may still tell a client whose hello failed with `error`."""
        return _framed(REFUSAL) if isinstance(error, VersionMismatchError) else b""


def _framed(message: bytes) -> bytes:
    return LENGTH.pack(len(message)) + message


def _parse(plaintext: memoryview) -> Event:
    kind = plaintext[0] if plaintext else 0
    if kind == DATA and len(plaintext) >= DATA_HEADER.size:
        _, stream, index = DATA_HEADER.unpack_from(plaintext)
        return Data(stream, index, plaintext[DATA_HEADER.size :])
    if kind == CONTROL and len(plaintext) >= CONTROL_HEADER.size:
        _, request = CONTROL_HEADER.unpack_from(plaintext)
        return Control(request, decode(plaintext[CONTROL_HEADER.size :]))
    raise RemoteProtocolError("The other end sent a record of an unknown kind.")
