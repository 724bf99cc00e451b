"""Several servers on one database and one blob store, and a balancer in front of them."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from fsproto.link import Address
from tests.support.servers import RunningServer

_PIECE = 1 << 16


def second_home(home: Path, name: str = "second") -> Path:
    """Return a copy of a data directory that shares the blobs of the first one."""
    other = home.with_name(name)
    shutil.copytree(home, other, ignore=shutil.ignore_patterns("blobs", "fsd.db*", "run.json"))
    (other / "blobs").symlink_to(home / "blobs")
    return other


@contextlib.contextmanager
def two_nodes(home: Path, *options: str) -> Iterator[tuple[RunningServer, RunningServer]]:
    """Run two servers on the SQLite database and the blobs of one data directory."""
    first = RunningServer.start(home, *options)
    with first, start_second(home, *options) as second:
        yield first, second


def start_second(home: Path, *options: str) -> RunningServer:
    """Start a second server; it may be started again after its end."""
    other = home.with_name("second")
    if not other.exists():
        second_home(home)
    return RunningServer.start(other, *options, database=f"sqlite:///{home / 'fsd.db'}")


def is_writing(server: RunningServer) -> bool:
    """Return whether a server has a file of the blob store open, also one that was renamed."""
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if "/blobs/" in str(link.readlink()):
                return True
    return False


class RoundRobin:
    """A proxy that passes each connection to the next one of several servers."""

    def __init__(self, *servers: Address) -> None:
        """Take the addresses of the servers; the first one gets the first connection."""
        self._servers = itertools.cycle(servers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address(*self._listener.getsockname()[:2])
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        _shut(self._listener)
        for one in self._open:
            _shut(one)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = next(self._servers)
                ends = client, socket.create_connection((server.host, server.port))
                self._open += ends
                for source, sink in (ends, ends[::-1]):
                    threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_PIECE):
            sink.sendall(data)
    _shut(source)
    _shut(sink)


class Balancer:
    """A proxy that can hold what clients send, and move them to another server."""

    def __init__(self, server: Address, *, source: str = "", header: bytes = b"") -> None:
        """Take the address of the first server.

        Connections to servers come from the address `source`, and start with `header`.
        """
        self._server = server
        self._source = (source, 0) if source else None
        self.header = header
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address(*self._listener.getsockname()[:2])
        self._open: list[socket.socket] = []
        self._flows = threading.Event()
        self._flows.set()
        self._hold_after: int | None = None
        self.held = threading.Event()
        """Set when a client waits because of `hold_after`."""
        self.sent = 0
        """Bytes that clients have sent through it since the last `switch`."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        _shut(self._listener)
        self._cut()

    def hold_after(self, size: int) -> None:
        """Hold the clients' data after so many bytes, until `let_go`."""
        self._flows.clear()
        self.held.clear()
        self._hold_after = size

    def let_go(self) -> None:
        """Pass on what is held, and everything else."""
        self._hold_after = None
        self._flows.set()

    def switch(self, server: Address) -> None:
        """End all connections, and send the next ones to another server."""
        self._server, self.sent = server, 0
        self._cut()

    def _cut(self) -> None:
        for one in self._open:
            _shut(one)
        self._open.clear()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                try:
                    server = socket.create_connection(
                        (self._server.host, self._server.port), source_address=self._source
                    )
                    server.sendall(self.header)
                except OSError:  # it is not running now
                    _shut(client)
                    continue
                self._open += [client, server]
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        up = sink.getpeername()[:2] == (self._server.host, self._server.port)
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                if up and self._hold_after is not None and self.sent > self._hold_after:
                    self.held.set()
                    self._flows.wait()
                sink.sendall(data)
                self.sent += len(data) if up else 0
        _shut(source)
        _shut(sink)


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
