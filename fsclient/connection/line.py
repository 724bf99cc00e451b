"""The socket below a connection: of TCP, or of a program that carries the connection (`--via`)."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from fsclient.connection.retry import Timeouts
from fsproto.link import Address

if TYPE_CHECKING:
    from fsclient.connection.proxy_command import ProxyCommand


def line_to(
    address: Address, patience: Timeouts, via: str | None
) -> tuple[socket.socket, ProxyCommand | None]:
    """Open a TCP connection to a server, or start the proxy command that carries it."""
    if via:
        from fsclient.connection.proxy_command import ProxyCommand

        proxy = ProxyCommand(via)
        proxy.socket.settimeout(patience.via_s)
        return proxy.socket, proxy
    sock = connected(address, patience.connect_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock, None


def connected(address: Address, patience_s: float) -> socket.socket:
    """Return a socket that is connected to an address; `OSError` if that fails."""
    # Given text, Python would load the tables of international names even for plain ASCII.
    host = address.host.encode() if address.host.isascii() else address.host
    return socket.create_connection((host, address.port), patience_s)  # type: ignore[arg-type]
