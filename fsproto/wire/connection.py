"""One connection, without its socket: bytes in, events out; messages in, bytes out.

Pass received bytes to `receive_data`, then call `next_event` until it returns `NEED_DATA`. Send the
bytes that `send` and `seal_segment` return to the peer, in that order. A faster reader lets its
socket fill `room` instead; it may take a frame here and open it in another thread.

    state        client: what ends it                server: what ends it
    HELLO        server_hello → CONFIRM               client_hello → KEY, or once a question
                                                      about former host keys → HELLO
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
from fsproto.messages import Message, decode, encode, encode_behind, encode_name
from fsproto.values import Value
from fsproto.wire.frames import SMALL, Frame, FrameBuffers, FrameReceiver, SpareBuffers
from fsproto.wire.handshake import REFUSAL, Channel, ClientHandshake, ServerHandshake
from fsproto.wire.records import (
    CONTROL,
    CONTROL_HEADER,
    DATA,
    DATA_HEADER,
    LENGTH,
)


class ConnectionState(enum.Enum):
    """The states of a connection."""

    HELLO = enum.auto()
    KEY = enum.auto()
    CONFIRM = enum.auto()
    OPEN = enum.auto()
    CLOSED = enum.auto()


class ConnectionOver(RuntimeError):
    """The connection is closed; it can no longer send or open anything.

    This is not always a programming error: if one thread receives while another works, the peer
    may close the connection concurrently.
    """


class NeedData(enum.Enum):
    """Type of `NEED_DATA`."""

    NEED_DATA = enum.auto()


DATA_ROOM = DATA_HEADER.size
RECORD_ROOM = LENGTH.size + TAG_SIZE
_CONTROL = bytes((CONTROL,))
NEED_DATA: Final = NeedData.NEED_DATA


class Reply(Value, frozen=True):
    """A handshake message that must be sent before anything else."""

    data: bytes


class Ready(Value, frozen=True):
    """The exchange is complete: the peer holds the same keys."""


class Control(Value, frozen=True):
    """One message, with the number of the request that it is or answers."""

    request: int
    message: Message


class Packed(Value, frozen=True):
    """One undecoded message, with the number of its request."""

    request: int
    payload: memoryview

    def is_a(self, kind: type[Message]) -> bool:
        """Return whether its name is that of a kind of message; its fields may be anything."""
        name = encode_name(kind)
        return bytes(self.payload[1 : 1 + len(name)]) == name


class Data(Value, frozen=True):
    """One segment of a stream."""

    stream: int
    index: int
    payload: memoryview


Event = Reply | Ready | Control | Packed | Data


class Connection:
    """Framing, handshake and records of one end.

    After the handshake, sending and receiving use separate state, so one thread may send while
    another receives. Two threads must not use the same direction concurrently.
    """

    def __init__(
        self, handshake: ClientHandshake | ServerHandshake, spares: SpareBuffers | None = None
    ) -> None:
        """Take the client's or the server's half of the handshake.

        `spares` are the free buffers that all connections of this process share, if they do.
        """
        self._handshake = handshake
        self._state = ConnectionState.HELLO
        self._channel: Channel | None = None
        self._incoming = FrameReceiver(spares)
        self._pending = bytearray()
        self.longest = MAX_RECORD
        """Bytes of the longest record to accept."""
        self.decodes = MAX_RECORD
        """Bytes of the longest message to decode; a longer one is returned as `Packed`."""

    @property
    def state(self) -> ConnectionState:
        """The current state."""
        return self._state

    @property
    def channel_id(self) -> bytes:
        """32 bytes that identify this channel; available when the keys are known."""
        return self._keys().channel_id

    def start(self) -> bytes:
        """Return the first bytes to send: a client's hello; empty for a server."""
        if isinstance(self._handshake, ClientHandshake):
            return _framed(self._handshake.hello)
        return b""

    # --- sending

    def send(self, request: int, message: Message) -> bytes:
        """Return the record with `message`; `ValueError` if it does not fit."""
        return self._keys().sealer.seal(CONTROL_HEADER.pack(CONTROL, request) + encode(message))

    def send_in(self, out: FrameBuffers, request: int, message: Message) -> bytes | memoryview:
        """Return the same record as `send`, but use the memory of `out` if it is large."""
        sealer = self._keys().sealer
        encode_behind(CONTROL_HEADER.pack(CONTROL, request), message, out.packed)
        if len(out.packed) <= SMALL:
            return sealer.seal(out.packed)
        return sealer.seal_into(out.packed, out.frame(len(out.packed) + RECORD_ROOM))

    def seal_segment(
        self, stream: int, index: int, segment: memoryview, out: memoryview
    ) -> memoryview:
        """Make the record of a segment in `out`, without copying the segment.

        `segment` starts with `DATA_ROOM` free bytes for its address. `out` must be `RECORD_ROOM`
        bytes longer than `segment`. Return the part of `out` that is the record.
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
        """Return the buffer for the next bytes from the peer; fill a part, then call `received`.

        Its length is that of the missing part of the current frame. Call this only after
        `take_frame` has returned None.
        """
        return self._incoming.room()

    def rest(self) -> None:
        """Free the memory that a silent peer does not need."""
        self._incoming.rest()

    @property
    def held(self) -> int:
        """The bytes of memory that an incomplete frame takes; 0 between frames."""
        return self._incoming.held

    def set_aside(self) -> tuple[bytes, memoryview, int]:
        """Give up an incomplete frame: return its header, its received bytes, and its length.

        The caller receives the rest, elsewhere, and opens a `Frame` of it in its turn.
        """
        return self._incoming.set_aside()

    def forget(self) -> None:
        """Free the memory for received bytes, for none will be received."""
        self._incoming.forget()

    def received(self, count: int) -> None:
        """Record that `count` bytes of `room` were filled; 0 means the end of the connection."""
        if not count:
            self._state = ConnectionState.CLOSED
            raise ConnectionLost
        self._incoming.filled(count)

    def receive_data(self, data: bytes | memoryview) -> None:
        """Take received bytes, in pieces of any size; empty bytes mean the end of the stream."""
        if not data:
            self.received(0)
        self._pending += data

    def wanted(self) -> int:
        """Return how many more bytes are needed for the next step; 0 if `next_event` can run."""
        try:
            return 0 if self._whole() else len(self._incoming.room())
        except FsError:
            return 0  # do not wait for more: `next_event` refuses the frame

    def take_frame(self) -> Frame | None:
        """Return the next complete frame, or None; `FsError` for a frame that is too long.

        Open the frames in the order in which they were taken. This may happen in another thread
        while the next one is received.
        """
        if self._state is ConnectionState.CLOSED:
            raise ConnectionLost
        try:
            return self._incoming.take() if self._whole() else None
        except FsError:
            self._state = ConnectionState.CLOSED
            raise

    def _whole(self) -> bool:
        """Consume the bytes from `receive_data`; return whether a frame is complete."""
        incoming, hello = self._incoming, self._state is ConnectionState.HELLO
        while not (whole := incoming.whole(self._limit(), hello=hello)) and self._pending:
            room = incoming.room()
            count = min(len(room), len(self._pending))
            room[:count] = self._pending[:count]
            del self._pending[:count]
            incoming.filled(count)
        return whole

    def open_frame(self, frame: Frame, into: memoryview | None = None) -> Event:
        """Return the event in a frame; raise `FsError` and close if the frame is invalid.

        With `into`, a large record is opened there, and the event contains a view of it.
        """
        try:
            if self._state is ConnectionState.CLOSED:
                raise ConnectionOver
            if self._state is not ConnectionState.OPEN:
                return self._advance(bytes(frame.body))
            opener = self._keys().opener
            if into is not None and len(frame.body) > SMALL:
                return self._parse(opener.open_into(frame.header, frame.body, into))
            return self._parse(memoryview(opener.open(frame.header, frame.body)))
        except FsError:
            self._state = ConnectionState.CLOSED
            raise
        finally:
            self._incoming.give_back(frame)

    def _parse(self, plaintext: memoryview) -> Event:
        if plaintext[:1] == _CONTROL and len(plaintext) - CONTROL_HEADER.size > self.decodes:
            _, request = CONTROL_HEADER.unpack_from(plaintext)
            return Packed(request, plaintext[CONTROL_HEADER.size :])
        return parsed_event(plaintext)

    def next_event(self) -> Event | NeedData:
        """Return the next event, or `NEED_DATA`; raise `FsError` and close for invalid bytes."""
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
                return Reply(_framed(server.receive_question(message)))
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
        """Return the bytes that a server sends to a client whose hello failed with `error`."""
        return _framed(REFUSAL) if isinstance(error, VersionMismatchError) else b""


def _framed(message: bytes) -> bytes:
    return LENGTH.pack(len(message)) + message


def packed_event(event: Control | Data) -> bytes:
    """Return the plaintext of the record that carried an event."""
    if isinstance(event, Data):
        return DATA_HEADER.pack(DATA, event.stream, event.index) + event.payload
    return CONTROL_HEADER.pack(CONTROL, event.request) + encode(event.message)


def parsed_event(plaintext: memoryview) -> Control | Data:
    """Return the event in a record; `RemoteProtocolError` if it has none."""
    kind = plaintext[0] if plaintext else 0
    if kind == DATA and len(plaintext) >= DATA_HEADER.size:
        _, stream, index = DATA_HEADER.unpack_from(plaintext)
        return Data(stream, index, plaintext[DATA_HEADER.size :])
    if kind == CONTROL and len(plaintext) >= CONTROL_HEADER.size:
        _, request = CONTROL_HEADER.unpack_from(plaintext)
        return Control(request, decode(plaintext[CONTROL_HEADER.size :]))
    raise RemoteProtocolError("The other end sent a record of an unknown kind.")
