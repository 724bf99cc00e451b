"""Networks that can be cut: nothing passes then, and nothing is closed."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Self

from fsproto.link import Address

_PIECE = 1 << 16
LARGE = 1 << 17
"""Bytes to a server from which a connection has sent a segment; a login takes far less."""


@dataclass
class Flow:
    """What one connection has sent to the server."""

    sent: int = 0
    large_s: float | None = None
    """When it had sent more than a login takes (`time.monotonic`); None: it has not."""


@dataclass
class Traffic:
    """What has passed to the server, by connection."""

    flows: list[Flow] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Bytes of all connections."""
        return sum(flow.sent for flow in self.flows)

    def large_since(self, moment_s: float) -> float | None:
        """Return when the first upload since a moment has sent a segment; None: there was none."""
        found = [flow.large_s for flow in self.flows if flow.large_s and flow.large_s > moment_s]
        return min(found, default=None)


class Cable:
    """A network to one address.

    While it is cut, it holds what both sides send, as their systems would send it again; and it
    passes no new connection on.
    """

    def __init__(self, server: Address, *, source: str = "127.0.0.1") -> None:
        """Take the address of the server, and the one from which connections come to it."""
        self._server = server
        self._source = (source, 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address(*self._listener.getsockname()[:2])
        self.traffic = Traffic()
        self._passes = threading.Event()
        self._passes.set()
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._accept_in_thread()
        return self

    def __exit__(self, *_: object) -> None:
        _shut(self._listener)
        for one in self._open:
            _shut(one)
        self.mend()

    def cut(self) -> None:
        """Let nothing pass."""
        self._passes.clear()

    def mend(self) -> None:
        """Let everything pass again."""
        self._passes.set()

    def refuse(self) -> None:
        """Refuse new connections, like the machine of a program that does not run."""
        _shut(self._listener)

    def accept(self) -> None:
        """Accept connections again."""
        self._listener = socket.create_server((self.address.host, self.address.port))
        self._accept_in_thread()

    def _accept_in_thread(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = listener.accept()[0]
                self._open = [one for one in self._open if one.fileno() >= 0]
                self._open.append(client)
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        self._passes.wait()
        try:
            to = (self._server.host, self._server.port)
            server = socket.create_connection(to, source_address=self._source)
        except OSError:  # it is not running now
            _shut(client)
            return
        self._open.append(server)
        flow = Flow()
        self.traffic.flows.append(flow)
        threading.Thread(target=self._pass_on, args=(server, client, None), daemon=True).start()
        self._pass_on(client, server, flow)

    def _pass_on(self, source: socket.socket, sink: socket.socket, flow: Flow | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                self._passes.wait()
                sink.sendall(data)
                if flow is not None:
                    flow.sent += len(data)
                    if flow.large_s is None and flow.sent > LARGE:
                        flow.large_s = time.monotonic()
        self._passes.wait()  # the end of a connection does not pass either
        _shut(source)
        _shut(sink)


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
