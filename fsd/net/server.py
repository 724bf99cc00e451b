"""The native listener: asyncio around `fsproto.wire.Connection`, one task a connection.

The event loop moves bytes and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from fsd.auth.throttle import network_of
from fsd.net.connection import ClientConnection
from fsd.net.descriptors import Reserve
from fsd.net.dispatch import Dispatcher
from fsd.net.limits import Unauthenticated
from fsd.net.listen import accept, listen
from fsd.net.logged_in import LoggedIn
from fsd.net.services import Services
from fsd.net.used_code import UsedCode
from fsd.policies import ListenerPolicy
from fsd.workers import IdleWorkers
from fsproto import crypto
from fsproto.host_key_moves import Move
from fsproto.wire.connection import Connection
from fsproto.wire.handshake import ServerHandshake

log = logging.getLogger(__name__)

DRAIN_IDLE_S = 0.5
"""Seconds that a connection may wait before its next request while the server stops."""


class NativeServer:
    """The listener for clients of the native protocol."""

    def __init__(
        self,
        desk: Dispatcher,
        host_key: crypto.RsaKey,
        policy: ListenerPolicy,
        moves: Sequence[Move],
        spare: IdleWorkers,
        *,
        people: LoggedIn | None = None,
    ) -> None:
        """Take the services, the host key, and the statements of former host keys.

        The threads of `spare` may help with uploads. `people` counts the connections of users.
        """
        self.policy = policy
        self.host_key = host_key
        self.moves = moves
        self._pool = ThreadPoolExecutor(max_workers=32, thread_name_prefix="fsd")
        self._spare = spare
        self._people = people or LoggedIn()
        self._inside = Services.of(desk, policy, self._pool, self._spare, self._people)
        self._reserve = Reserve()
        self._waiting: Unauthenticated[asyncio.Task[None]] = Unauthenticated(
            most=policy.waiting, most_of_one=policy.waiting_of_one
        )
        self._peers: dict[asyncio.Task[None], ClientConnection] = {}
        self._listening: list[socket.socket] = []
        self.accepted = 0
        """Connections so far."""
        self._accepting: list[asyncio.Task[None]] = []

    def renew(
        self,
        desk: Dispatcher,
        host_key: crypto.RsaKey,
        policy: ListenerPolicy,
        moves: Sequence[Move],
    ) -> None:
        """Replace the parts for future connections; open connections keep theirs."""
        self.policy, self.host_key, self.moves = policy, host_key, moves
        self._inside = Services.of(desk, policy, self._pool, self._spare, self._people)
        self._waiting.limit(most=policy.waiting, most_of_one=policy.waiting_of_one)

    async def open(self, host: str, port: int) -> tuple[str, int]:
        """Start to accept; return the address, with the actual port if 0 was requested."""
        self._listening = listen(host, port)
        self._accepting = [
            asyncio.create_task(accept(sock, self._came_in, self._reserve, self.make_room))
            for sock in self._listening
        ]
        bound = self._listening[0].getsockname()
        return bound[0], bound[1]

    async def close(self) -> None:
        """Stop accepting, wait for requests in progress, then close."""
        for accepting in self._accepting:
            accepting.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for listening in self._listening:
            listening.close()
        deadline = time.monotonic() + self.policy.drain_s
        while self._peers and time.monotonic() < deadline:
            for task, peer in list(self._peers.items()):
                if peer.idle_for() > DRAIN_IDLE_S:
                    task.cancel()
            await asyncio.sleep(0.05)
        for task in list(self._peers):
            task.cancel()
        await asyncio.gather(*self._peers, return_exceptions=True)
        self._pool.shutdown()
        self._reserve.close()

    def make_room(self) -> bool:
        """Close one connection, for descriptors are short; return whether there was one to close.

        It is an unauthenticated one, or an idle one of the user with the most connections,
        whichever there are more of.
        """
        if len(self._waiting) >= self._people.largest:
            crowded_out = self._waiting.evict()
            if crowded_out is not None:
                return crowded_out.cancel()
        return self._people.make_room()

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._peers)

    def connection(self) -> Connection:
        """Return the server's end of a new connection."""
        return Connection(ServerHandshake(self.host_key, os.urandom, self.moves))

    def _came_in(self, sock: socket.socket, address: str) -> None:
        self.accepted += 1
        self._let_in(sock, address)

    def take_in(self, sock: socket.socket, address: str, voucher: UsedCode | None) -> None:
        """Serve a connection that another listener carries; `sock` is the server's end of it."""
        sock.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        self._let_in(sock, address, voucher)

    def _let_in(self, sock: socket.socket, address: str, voucher: UsedCode | None = None) -> None:
        network = network_of(address)

        def leave() -> None:
            self._waiting.leave(network, task)

        peer = ClientConnection(
            self._inside, self.connection(), sock, address, logged_in=leave, voucher=voucher
        )
        task = asyncio.create_task(peer.serve())
        self._peers[task] = peer
        task.add_done_callback(self._peers.pop)
        task.add_done_callback(lambda _: leave())
        # A task that is cancelled before it starts closes nothing itself.
        task.add_done_callback(lambda _: sock.close())
        crowded_out = self._waiting.enter(network, task)
        if crowded_out is not None:
            crowded_out.cancel()
            log.debug("made room for another", extra={"address": address})
