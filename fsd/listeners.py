"""The sockets on which a server listens, and the errors of those that cannot be had."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from fsd.net.listen import listen
from fsproto.errors import FsError
from fsproto.link import Address

if TYPE_CHECKING:
    from fsd.settings.model import Settings


class ListenError(FsError):
    """The server cannot listen there."""

    code = "listen"


class Kind(StrEnum):
    """The listeners of a server."""

    NATIVE = "native"
    SSH = "ssh"
    WEB = "web"
    METRICS = "metrics"
    HEALTH = "health"


_TEXTS = {
    Kind.NATIVE: ("Cannot listen on {}: {}.", "--listen"),
    Kind.SSH: ("Cannot listen for SSH on {}: {}.", "--ssh-listen"),
    Kind.WEB: ("Cannot listen for HTTP on {}: {}.", "--web-listen"),
    Kind.METRICS: ("Cannot serve metrics on {}: {}.", "--metrics-listen"),
    Kind.HEALTH: ("Cannot answer health checks on {}: {}.", "--health-listen"),
}
"""The error and the option that chooses another address."""


@dataclass(frozen=True)
class Listeners:
    """The addresses on which a server listens, and its host keys."""

    address: Address
    host_key: str
    ssh: Address | None
    """The address of the SSH listener; None if SSH access is off."""
    web: Address | None
    """The address of the web listener; None if it is off."""
    ssh_keys: Sequence[str]
    """The host keys of the SSH listener, as clients of SSH show them."""


class Sockets:
    """Listening sockets, several for a listener whose host has several addresses."""

    def __init__(self, of: dict[Kind, list[socket.socket]]) -> None:
        """Take the sockets of each listener that is in use."""
        self.of = of

    @classmethod
    def bound(cls, settings: Settings) -> Sockets:
        """Listen on all addresses of the settings; `ListenError` if one cannot be had."""
        of: dict[Kind, list[socket.socket]] = {}
        with ExitStack() as undo:
            for kind, where in _places(settings):
                try:
                    of[kind] = listen(where.host, where.port)
                except OSError as error:
                    text, option = _TEXTS[kind]
                    raise ListenError(
                        text.format(where, _reason(error)),
                        hint=f"Give another address with {option}; port 0 picks a free one.",
                    ) from None
                for sock in of[kind]:
                    undo.callback(sock.close)
            undo.pop_all()
        return cls(of)

    @classmethod
    def for_workers(cls, count: int) -> list[socket.socket]:
        """Return one socket on the loopback for each worker, at which the others ask it."""
        return [listen("127.0.0.1", 0)[0] for _ in range(count)]

    def address(self, kind: Kind) -> Address | None:
        """Return the address of a listener, with the port that was chosen for port 0."""
        return address_of(self.of[kind][0]) if kind in self.of else None

    @property
    def native(self) -> Address:
        """The address of the native listener, which every server has."""
        return address_of(self.of[Kind.NATIVE][0])

    def listeners(self, host_key: str, ssh_keys: Sequence[str]) -> Listeners:
        """Return the addresses together with the host keys."""
        ssh, web = self.address(Kind.SSH), self.address(Kind.WEB)
        return Listeners(self.native, host_key, ssh, web, ssh_keys)

    def close(self) -> None:
        """Close all of them; harmless if some are closed."""
        for sockets in self.of.values():
            for sock in sockets:
                sock.close()


def address_of(sock: socket.socket) -> Address:
    """Return the address of a listening socket."""
    return Address(*sock.getsockname()[:2])


def _places(settings: Settings) -> Iterator[tuple[Kind, Address]]:
    places = {
        Kind.NATIVE: settings.listen,
        Kind.SSH: settings.ssh_listen,
        Kind.WEB: settings.web_listen,
        Kind.METRICS: settings.metrics_listen,
        Kind.HEALTH: settings.health_listen,
    }
    for kind, where in places.items():
        if where is not None:
            yield kind, where


def _reason(error: OSError) -> str:
    """Return the reason of a listen error, without the address that the library adds."""
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)
