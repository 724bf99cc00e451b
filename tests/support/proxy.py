"""A proxy between client and server that sees every byte and can change, drop or add any.

A `Proxy` accepts connections on the loopback, opens one to the server for each, and splits the
stream into messages: a u32 length and that many bytes, for the key exchange and for records alike.
Each message is given to a `Tamper`, and its result is sent instead.
"""

from __future__ import annotations

import contextlib
import enum
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self

from fsproto import crypto, host_key_moves
from fsproto.errors import RemoteProtocolError
from fsproto.link import Address
from fsproto.wire.handshake import ServerHandshake

_LENGTH = struct.Struct(">I")
_LONGEST = 1 << 22


class To(enum.Enum):
    """The direction of a message."""

    SERVER = enum.auto()
    CLIENT = enum.auto()


HELLO, KEY, LOGIN = 0, 1, 2
"""The numbers of the client's first messages."""
CONFIRM, WELCOME = 1, 2
"""The numbers of the server's messages after its hello."""


@dataclass(frozen=True)
class Frame:
    """One message in transit."""

    to: To
    number: int
    """From 0, for each connection and direction."""
    data: bytes = field(repr=False)
    """The message with its length."""
    back: Callable[[bytes], None] = field(repr=False, compare=False)
    """Sends bytes to the sender of the message."""

    @property
    def body(self) -> bytes:
        """The message without its length."""
        return self.data[_LENGTH.size :]


def framed(body: bytes) -> bytes:
    """Return a message with its length in front."""
    return _LENGTH.pack(len(body)) + body


class Cut(Exception):
    """The connection ends here, in both directions; `last` is still sent."""

    def __init__(self, last: bytes = b"") -> None:
        """Take the bytes to send before the end."""
        super().__init__()
        self.last = last


class Tamper:
    """The changes to the messages of one connection; this base class changes nothing."""

    def passes(self, frame: Frame) -> Iterable[bytes]:
        """Yield the bytes to send in place of a message; raise `Cut` to end the connection."""
        yield frame.data


class At(Tamper):
    """A change to one message; all others pass."""

    def __init__(self, to: To, number: int, what: Callable[[bytes], Iterable[bytes]]) -> None:
        """Take the direction, the message's number, and the function that changes its bytes."""
        self._where = to, number
        self._what = what
        self.seen = False

    def passes(self, frame: Frame) -> Iterable[bytes]:
        """Change the one message."""
        if (frame.to, frame.number) != self._where:
            return [frame.data]
        self.seen = True
        return self._what(frame.data)


class Swap(Tamper):
    """A swap of a message and the next one."""

    def __init__(self, to: To, number: int) -> None:
        """Take the direction and the number of the first message."""
        self._to, self._number = to, number
        self._held = b""

    def passes(self, frame: Frame) -> Iterable[bytes]:
        """Hold the first message until the second one has arrived."""
        if frame.to is not self._to or frame.number not in (self._number, self._number + 1):
            return [frame.data]
        if frame.number == self._number:
            self._held = frame.data
            return []
        return [frame.data, self._held]


class Holds(Tamper):
    """A tamper that holds a message until `let_go` is set."""

    def __init__(self, to: To, number: int) -> None:
        """Take the direction and the message's number."""
        self._where = to, number
        self.held = threading.Event()
        self.let_go = threading.Event()

    def passes(self, frame: Frame) -> Iterable[bytes]:
        """Wait at the one message."""
        if (frame.to, frame.number) == self._where:
            self.held.set()
            self.let_go.wait()
        return [frame.data]


class InTheMiddle(Tamper):
    """An attacker that plays the server with its own host key; the true server receives nothing."""

    def __init__(
        self, host_key: crypto.RsaKey, shown: bytes | None = None, vouched: bytes = b""
    ) -> None:
        """Take the attacker's key, the public key to show instead of its own, and an answer.

        The answer is sent to the question who vouches for the key.
        """
        self._vouched = vouched
        self._handshake = ServerHandshake(host_key, os.urandom)
        self._first = HELLO
        """The number of the hello: a question may come before it."""
        if shown is not None:
            host_key.public = shown

    def passes(self, frame: Frame) -> Iterable[bytes]:
        """Keep the client's message, and answer it."""
        if frame.number == HELLO and host_key_moves.is_question(frame.body):
            frame.back(framed(self._vouched))
            self._first += 1
        elif frame.number == self._first:
            frame.back(framed(self._handshake.receive_hello(frame.body)))
        elif frame.number == self._first + 1:
            try:
                confirm = self._handshake.receive_key(frame.body)[0]
            except RemoteProtocolError:
                confirm = os.urandom(32)
            frame.back(framed(confirm))
        return []


# --- changes to one message


def flip(data: bytes, at: int = -1) -> list[bytes]:
    """Flip one bit, by default in the last byte."""
    changed = bytearray(data)
    changed[at] ^= 1
    return [bytes(changed)]


def flip_first(data: bytes) -> list[bytes]:
    """Flip one bit of the first byte after the length."""
    return flip(data, _LENGTH.size)


def lengthen(data: bytes) -> list[bytes]:
    """Send one more byte, and announce the greater length."""
    return [_LENGTH.pack(len(data) - _LENGTH.size + 1) + data[_LENGTH.size :] + b"\0"]


def shorten(data: bytes) -> list[bytes]:
    """Leave out the last byte, and announce the smaller length."""
    return [framed(data[_LENGTH.size : -1])]


def announce_much(data: bytes) -> list[bytes]:
    """Announce four gigabytes."""
    return [b"\xff\xff\xff\xff" + data[_LENGTH.size :]]


def announce_nothing(data: bytes) -> list[bytes]:
    """Announce an empty message."""
    return [bytes(_LENGTH.size), data]


def repeat(data: bytes) -> list[bytes]:
    """Send the message twice."""
    return [data, data]


def drop(data: bytes) -> list[bytes]:
    """Send nothing."""
    return []


def inject(data: bytes) -> list[bytes]:
    """Send another message first."""
    return [framed(os.urandom(64)), data]


def cut_before(data: bytes) -> list[bytes]:
    """End the connection instead of sending the message."""
    raise Cut


def cut_inside(data: bytes) -> list[bytes]:
    """End the connection in the middle of the message."""
    raise Cut(data[: len(data) // 2])


# --- the proxy


class Proxy:
    """A proxy on a free loopback port, in front of a server."""

    def __init__(self, server: Address, tamper: Callable[[], Tamper] = Tamper) -> None:
        """Take the server's address, and the function that makes each connection's tamper."""
        self._server = server
        self._tamper = tamper
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.address = Address(*self._listener.getsockname()[:2])
        self.recorded: list[Frame] = []
        """All messages of both sides, in the order of their arrival."""

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        _shut(self._listener)
        for one in self._sockets:
            _shut(one)
        for thread in self._threads:
            thread.join()

    def frames(self, to: To) -> list[Frame]:
        """Return the messages of one direction."""
        return [frame for frame in self.recorded if frame.to is to]

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                try:
                    server = socket.create_connection((self._server.host, self._server.port))
                except OSError:  # the server is not running now
                    _shut(client)
                    continue
                self._sockets += [client, server]
                tamper = self._tamper()
                self._start(self._pump, To.SERVER, client, server, tamper)
                self._start(self._pump, To.CLIENT, server, client, tamper)

    def _pump(self, to: To, source: socket.socket, sink: socket.socket, tamper: Tamper) -> None:
        number = 0
        with contextlib.suppress(OSError):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while data := _message(source):
                    frame = Frame(to, number, data, source.sendall)
                    self.recorded.append(frame)
                    for piece in tamper.passes(frame):
                        sink.sendall(piece)
                    number += 1
            except Cut as cut:
                sink.sendall(cut.last)
                _shut(source)
        _shut(sink)


def _message(source: socket.socket) -> bytes:
    """Return the next message with its length, or nothing at the end."""
    header = _exactly(source, _LENGTH.size)
    if len(header) < _LENGTH.size:
        return b""
    length: int = min(_LENGTH.unpack(header)[0], _LONGEST)
    body = _exactly(source, length)
    return header + body if len(body) == length else b""


def _exactly(source: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length and (more := source.recv(min(length - len(data), 1 << 18))):
        data += more
    return bytes(data)


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
