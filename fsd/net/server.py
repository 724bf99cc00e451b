"""The native listener: asyncio around `fsproto.wire.Connection`, one task a connection.

The event loop moves bytes and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import BinaryIO

from fsd.auth.throttle import network_of
from fsd.net.balancers import Balancers
from fsd.net.connection import ClientConnection
from fsd.net.descriptors import Reserve
from fsd.net.dispatch import Dispatcher
from fsd.net.limits import HandshakeLimiter, Unauthenticated
from fsd.net.listen import accept, listen
from fsd.net.logged_in import LoggedIn
from fsd.net.services import SPARE_BUFFERS, TURNS_OF_EXCHANGE, Services, Slots
from fsd.net.used_code import UsedCode
from fsd.net.waiting import WaitingBytes
from fsd.net.watching import Watching
from fsd.policies import MIB, ListenerPolicy
from fsd.workers import IdleWorkers, started_pool
from fsproto import crypto
from fsproto.host_key_moves import Move
from fsproto.wire.connection import Connection
from fsproto.wire.frames import SpareBuffers
from fsproto.wire.handshake import ServerHandshake

log = logging.getLogger(__name__)

_THREADS = 32
"""Threads for all connections."""
DRAIN_IDLE_S = 0.5
"""Seconds that a connection may wait before its next request while the server stops."""


class NativeServer:
    """The listener for clients of the native protocol."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        host_key: crypto.RsaKey,
        policy: ListenerPolicy,
        moves: Sequence[Move],
        spare: IdleWorkers,
        *,
        people: LoggedIn | None = None,
        folder: Path | None = None,
    ) -> None:
        """Take the services, the host key, and the statements of former host keys.

        The threads of `spare` may help with uploads. `people` counts the connections of users. In
        `folder` (None: the system's for temporary files) is the file of the bytes that wait for
        slow clients.
        """
        self.policy = policy
        self.host_key = host_key
        self.moves = moves
        self.other_keys: Sequence[crypto.RsaKey] = ()
        """Host keys that are shown to clients that expect them."""
        self._pool = started_pool(_THREADS, "fsd")
        self._spare = spare
        self._people = people or LoggedIn()
        self._waiting_bytes = WaitingBytes(folder, policy.buffers_mib * MIB, self._close_file)
        self._buffers = SpareBuffers(SPARE_BUFFERS)
        self._slots = Slots()
        self._watching = Watching(dispatcher.changes.numbers, self._pool)
        self._services = self._services_of(dispatcher, policy)
        self._reserve = Reserve()
        self._waiting: Unauthenticated[asyncio.Task[None]] = Unauthenticated(
            most=policy.waiting, most_of_one=policy.waiting_of_one
        )
        self._peers: dict[asyncio.Task[None], ClientConnection] = {}
        self._listening: list[socket.socket] = []
        self._balancers = Balancers(policy.proxies, self._came_in)
        self.accepted = 0
        """Connections so far."""
        self._accepting: list[asyncio.Task[None]] = []

    def _close_file(self, file: BinaryIO) -> None:
        try:
            self._pool.submit(file.close)
        except RuntimeError:  # the server has stopped, and its threads with it
            file.close()

    def renew(
        self,
        dispatcher: Dispatcher,
        host_key: crypto.RsaKey,
        policy: ListenerPolicy,
        moves: Sequence[Move],
    ) -> None:
        """Replace the parts for future connections; open connections keep theirs."""
        self.policy, self.host_key, self.moves = policy, host_key, moves
        self._waiting_bytes.most = policy.buffers_mib * MIB
        self._balancers.addresses = policy.proxies
        self._services = self._services_of(dispatcher, policy)
        self._waiting.limit(most=policy.waiting, most_of_one=policy.waiting_of_one)

    def take_keys(
        self, host_key: crypto.RsaKey, moves: Sequence[Move], others: Sequence[crypto.RsaKey]
    ) -> None:
        """Replace the host keys for future connections."""
        self.other_keys, self.moves, self.host_key = others, moves, host_key

    def _services_of(self, dispatcher: Dispatcher, policy: ListenerPolicy) -> Services:
        return Services(
            dispatcher,
            policy,
            self._pool,
            self._spare,
            HandshakeLimiter.by(policy, turns=TURNS_OF_EXCHANGE),
            self._people,
            self._buffers,
            self._waiting_bytes,
            self._slots,
            self._watching,
        )

    async def open(self, host: str, port: int) -> tuple[str, int]:
        """Start to accept; return the address, with the actual port if 0 was requested."""
        self.open_on(listening := listen(host, port))
        bound = listening[0].getsockname()
        return bound[0], bound[1]

    def open_on(self, listening: list[socket.socket]) -> None:
        """Start to accept on listening sockets, which other processes may share."""
        self._listening = listening
        self._accepting = [
            asyncio.create_task(accept(sock, self._balancers.let_in, self._reserve, self.make_room))
            for sock in self._listening
        ]

    async def close(self) -> None:
        """Stop accepting, wait for requests in progress, then close."""
        for accepting in self._accepting:
            accepting.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for listening in self._listening:
            listening.close()
        await self._balancers.close()
        deadline = time.monotonic() + self.policy.drain_s
        while self._peers and time.monotonic() < deadline:
            for task, peer in list(self._peers.items()):
                if peer.idle_for() > DRAIN_IDLE_S:
                    task.cancel()
            await asyncio.sleep(0.05)
        for task in list(self._peers):
            task.cancel()
        await asyncio.gather(*self._peers, return_exceptions=True)
        self._watching.close()
        self._pool.shutdown()
        self._reserve.close()

    def hear(self, payers: Collection[int] | None) -> None:
        """Wake the watches on trees in the quotas of some users; None: all watches."""
        self._watching.hear(payers)

    def make_room(self) -> bool:
        """Close one connection, because descriptors run short; return whether one was closed.

        If there are at least as many unauthenticated connections as the busiest user has, it is an
        unauthenticated one, else an idle one of that user.
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

    @property
    def requests(self) -> int:
        """The number of requests since the start."""
        return self._slots.requests

    def connection(self) -> Connection:
        """Return the server's end of a new connection."""
        handshake = ServerHandshake(self.host_key, os.urandom, self.moves, self.other_keys)
        return Connection(handshake, self._buffers)

    def free_buffers(self) -> None:
        """Free the buffers that no connection has used since the last call."""
        self._buffers.trim()

    def _came_in(self, sock: socket.socket, address: str) -> None:
        self.accepted += 1
        self._serve(sock, address)

    def take_in(self, sock: socket.socket, address: str, used_code: UsedCode | None) -> None:
        """Serve a connection that another listener carries; `sock` is the server's end of it."""
        sock.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        self._serve(sock, address, used_code)

    def _serve(self, sock: socket.socket, address: str, used_code: UsedCode | None = None) -> None:
        network = network_of(address)

        def leave() -> None:
            self._waiting.leave(network, task)

        peer = ClientConnection(
            self._services, self.connection(), sock, address, logged_in=leave, used_code=used_code
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
