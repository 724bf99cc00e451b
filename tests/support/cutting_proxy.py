"""A proxy that cuts connections after any number of bytes, in either direction."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from fsproto.link import Address
from tests.support.proxy import To

_PIECE = 1 << 16


@dataclass(frozen=True)
class Cut:
    """The end of one connection: after a number of bytes in one direction."""

    to: To
    after: int


class CuttingProxy:
    """A proxy: each cut ends one connection, in order; later connections are not cut."""

    def __init__(self, server: Address, cuts: Sequence[Cut] = ()) -> None:
        """Take the server's address and the cuts."""
        self._server = server
        self.cuts = list(cuts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address(*self._listener.getsockname()[:2])
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.connections = 0
        self.passed = {To.SERVER: 0, To.CLIENT: 0}
        """Bytes, over all connections."""

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for one in self._open:  # a browser keeps connections for later
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=30)

    def _start(self, work, *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                self.connections += 1
                cut = self.cuts.pop(0) if self.cuts else None
                try:
                    server = socket.create_connection((self._server.host, self._server.port))
                except OSError:
                    client.close()
                    continue
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._start(self._join, client, server, cut)

    def _join(self, client: socket.socket, server: socket.socket, cut: Cut | None) -> None:
        """Pass everything on in both directions, and close both sockets at the end."""
        with self._lock:
            self._open |= {client, server}
        down = threading.Thread(target=self._pump, args=(To.CLIENT, server, client, cut))
        down.start()
        self._pump(To.SERVER, client, server, cut)
        down.join()
        with self._lock:
            self._open -= {client, server}
            client.close()
            server.close()

    def _pump(self, to: To, source: socket.socket, sink: socket.socket, cut: Cut | None) -> None:
        left = cut.after if cut is not None and cut.to is to else None
        with contextlib.suppress(OSError):
            while left is None or left > 0:
                data = source.recv(_PIECE if left is None else min(left, _PIECE))
                if not data:
                    break
                sink.sendall(data)
                with self._lock:
                    self.passed[to] += len(data)
                if left is not None:
                    left -= len(data)
        # Read and drop the bytes that each side still sends. If a side's write failed, its received
        # but unread bytes from before the cut could be lost, so the result would depend on timing.
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while source.recv(_PIECE):
                pass
