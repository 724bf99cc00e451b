"""Listening and accepting, shared by all listeners."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable

from fsd.net.descriptors import Reserve

log = logging.getLogger(__name__)

ACCEPT_PAUSE_S = 0.1
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


def listen(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets on every address of `host`; `OSError` if there is none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    places = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    # With port 0, two address families would get two different ports.
    sockets: list[socket.socket] = []
    try:
        for family, address in places[: 1 if port == 0 else None]:
            sockets.append(socket.create_server(address, family=family, backlog=512))
            sockets[-1].setblocking(False)  # noqa: FBT003 - the standard library's own signature
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


async def accept(
    listening: socket.socket,
    let_in: Callable[[socket.socket, str], None],
    reserve: Reserve,
    make_room: Callable[[], bool],
) -> None:
    """Accept until cancelled; `let_in` gets each non-blocking socket and its address.

    While descriptors are short, `make_room` closes an older connection and returns whether it
    found one; otherwise the new one is closed.
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            sock, address = await loop.sock_accept(listening)
        except MemoryError:
            log.warning("cannot accept a connection: out of memory")
            await asyncio.sleep(ACCEPT_PAUSE_S)
            continue
        except OSError as error:  # for example too many open files; existing connections continue
            log.warning("cannot accept a connection: %s", error.strerror)
            if error.errno in _NO_DESCRIPTORS and not make_room():
                with contextlib.suppress(OSError):
                    reserve.shed(listening)
            await asyncio.sleep(ACCEPT_PAUSE_S)
            continue
        if reserve.is_touched(sock) and not make_room():
            log.warning("a connection was closed: too few open files are allowed")
            sock.close()
            continue
        sock.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            let_in(sock, str(address[0]))
        except Exception:  # this connection only: the listener must go on
            log.exception("a connection was closed", extra={"address": str(address[0])})
            sock.close()
