"""Connections that a load balancer forwards: the client's address is in a header before them.

The header is that of the PROXY protocol, and it is expected of the addresses in `door.proxies`
alone. One of these that sends none is closed: otherwise a wrong line in the balancer's settings
would give all clients one address, and one of them could use up the tries of the others.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Collection

from fsd.net.proxy_header import BadProxyHeaderError, ProxyHeader

log = logging.getLogger(__name__)

HEADER_S = 5.0
"""Seconds from a connection to the end of the header; a balancer sends it at once."""

LetIn = Callable[[socket.socket, str], None]


class Balancers:
    """The load balancers before one listener; all calls are on the event loop."""

    def __init__(self, addresses: Collection[str], let_in: LetIn) -> None:
        """Take their IP addresses, and the function that serves a connection and its address."""
        self.addresses = addresses
        """Whose connections start with a header; it is replaced when the settings are reloaded."""
        self._let_in = let_in
        self._reading: set[asyncio.Task[None]] = set()
        self._faulty: set[str] = set()
        """The balancers whose last connection had no valid header, so that each is logged once."""

    def let_in(self, sock: socket.socket, address: str) -> None:
        """Serve a connection; before, read the header if a balancer forwards it."""
        if address not in self.addresses:
            self._let_in(sock, address)
            return
        task = asyncio.create_task(self._after_header(sock, address))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)
        # A task that is cancelled before it starts closes nothing itself.
        task.add_done_callback(lambda done: sock.close() if done.cancelled() else None)

    async def close(self) -> None:
        """Close the connections whose header has not arrived."""
        for task in list(self._reading):
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)

    async def _after_header(self, sock: socket.socket, balancer: str) -> None:
        header = ProxyHeader()
        try:
            async with asyncio.timeout(HEADER_S):
                await _read(sock, header)
            if not header.complete:
                sock.close()  # for example a check whether anything listens here
                return
        except (BadProxyHeaderError, TimeoutError) as error:
            sock.close()
            self._log(balancer, str(error) or "it sends no header of the PROXY protocol")
            return
        except OSError:
            sock.close()
            return
        self._faulty.discard(balancer)
        address = balancer if header.address is None else header.address
        try:
            self._let_in(sock, address)
        except Exception:  # this connection only
            log.exception("a connection was closed", extra={"address": address})
            sock.close()

    def _log(self, balancer: str, reason: str) -> None:
        if balancer not in self._faulty:
            self._faulty.add(balancer)
            log.warning(
                "connections of the balancer %s (door.proxies) are closed: %s", balancer, reason
            )


async def _read(sock: socket.socket, header: ProxyHeader) -> None:
    """Read a header; stop early if the balancer closes the connection before its first byte."""
    loop = asyncio.get_running_loop()
    while header.wants:
        data = await loop.sock_recv(sock, header.wants)
        if data:
            header.feed(data)
        elif header.is_empty:
            return
        else:
            raise BadProxyHeaderError("its header is cut off")
