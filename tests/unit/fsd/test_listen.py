"""Accepting connections, whatever becomes of one of them."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from fsd.net.descriptors import Reserve
from fsd.net.listen import accept, listen


def test_a_connection_that_fails_at_once_does_not_end_the_listener() -> None:
    asyncio.run(_accept_after_a_failure())


async def _accept_after_a_failure() -> None:
    arrived: asyncio.Queue[socket.socket] = asyncio.Queue()
    failures = iter((MemoryError(), RuntimeError("can't start new thread")))

    def let_in(sock: socket.socket, _: str) -> None:
        for failure in failures:
            raise failure
        arrived.put_nowait(sock)

    with contextlib.ExitStack() as opened:
        (listening,) = listen("127.0.0.1", 0)
        opened.enter_context(listening)
        reserve = Reserve()
        opened.callback(reserve.close)
        accepting = asyncio.create_task(accept(listening, let_in, reserve, lambda: False))
        clients = [
            opened.enter_context(socket.create_connection(listening.getsockname(), timeout=60))
            for _ in range(3)
        ]
        opened.enter_context(await asyncio.wait_for(arrived.get(), 10))
        assert [client.recv(1) for client in clients[:2]] == [b"", b""]  # closed, not left open
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
