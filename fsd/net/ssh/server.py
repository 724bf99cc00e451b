"""The SSH listener: accepts on the event loop; each connection has a thread for SSH.

Unauthenticated connections have the same limits and settings as at the native listener (`limits`).
Logged-in connections are checked every second: when their session ends elsewhere, they end too.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import paramiko

from fsd.auth.throttle import network_of
from fsd.home.ssh_host_keys import SshHostKey
from fsd.net.descriptors import Reserve
from fsd.net.limits import HandshakeLimiter, Unauthenticated
from fsd.net.listen import accept, listen
from fsd.net.server import NativeServer
from fsd.net.ssh.connection import Entry, SshConnection, SshServices
from fsd.net.used_code import UsedCode
from fsd.policies import ListenerPolicy, SshPolicy
from fsd.services.drops.model import KeyHolder
from fsd.services.drops.service import DropService
from fsd.services.login.ssh_login import SshEntry, SshLoginService
from fskit.ssh import silence_paramiko
from fsproto.errors import FsError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""Seconds that a connection may remain open after its session was ended elsewhere."""
GOODBYE_S = 5.0
"""Seconds for connections to end after the server closed them."""
_POOL = 8


class SshServer:
    """The SSH listener."""

    def __init__(
        self,
        native: NativeServer,
        logins: SshLoginService,
        drops: DropService,
        keys: Sequence[SshHostKey],
        *,
        policy: ListenerPolicy,
        own: SshPolicy,
        counted: Callable[[str], None],
    ) -> None:
        """Initialise; the native server serves the native protocol of these connections.

        `counted` is called with the result of each login: `ok`, `refused` or `failed`.
        """
        silence_paramiko()
        self._native = native
        self._drops = drops
        self._policy, self._own = policy, own
        self._counted = counted
        self._pool = ThreadPoolExecutor(max_workers=_POOL, thread_name_prefix="fsd-ssh")
        self._keys = [_opened(key) for key in keys]
        self._loop: asyncio.AbstractEventLoop
        self._rooms = self._built(logins)
        self._turns = HandshakeLimiter.by(policy)
        self._waiting: Unauthenticated[SshConnection] = Unauthenticated(
            most=policy.waiting, most_of_one=policy.waiting_of_one
        )
        self._reserve = Reserve()
        self._guests: dict[SshConnection, asyncio.Task[None]] = {}
        self._listening: list[socket.socket] = []
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []

    def renew(self, logins: SshLoginService, policy: ListenerPolicy, own: SshPolicy) -> None:
        """Use other parts for new connections; open connections keep theirs."""
        self._policy, self._own = policy, own
        self._rooms, self._turns = self._built(logins), HandshakeLimiter.by(policy)
        self._waiting.limit(most=policy.waiting, most_of_one=policy.waiting_of_one)

    def _built(self, logins: SshLoginService) -> SshServices:
        return SshServices(
            logins,
            self._drops,
            self._policy,
            self._pool,
            self._keys,
            native=self._carried,
            enter=self._enter,
            left=self._left,
            counted=self._counted,
        )

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._guests)

    async def open(self, host: str, port: int) -> tuple[str, int]:
        """Start accepting; return the address, with the port that was chosen for port 0."""
        self._loop = asyncio.get_running_loop()
        self._listening = listen(host, port)
        self._tasks = [
            asyncio.create_task(accept(sock, self._let_in, self._reserve, self._make_room))
            for sock in self._listening
        ]
        self._tasks.append(asyncio.create_task(self._look_after()))
        bound = self._listening[0].getsockname()
        return bound[0], bound[1]

    async def stop_accepting(self) -> None:
        """Stop accepting, and close unauthenticated connections."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listening in self._listening:
            listening.close()
        for guest in list(self._guests):
            if guest.entry is None:
                guest.hang_up()

    async def close(self) -> None:
        """End all connections; the native server must have ended its own connections before."""
        await self.stop_accepting()
        ends = self._loop.time() + GOODBYE_S
        while self._guests and self._loop.time() < ends:
            for guest in self._guests:
                if not guest.is_busy or self._loop.time() > ends - GOODBYE_S / 2:
                    guest.hang_up()
            await asyncio.sleep(0.02)
        await asyncio.to_thread(self._pool.shutdown)
        self._reserve.close()

    # --- on the event loop

    def _let_in(self, sock: socket.socket, address: str) -> None:
        guest = SshConnection(self._rooms, sock, address)
        self._guests[guest] = asyncio.create_task(self._receive(guest))
        crowded_out = self._waiting.enter(network_of(address), guest)
        if crowded_out is not None:
            crowded_out.hang_up()
            log.debug("made room for another", extra={"address": address})

    def _make_room(self) -> bool:
        """Close an unauthenticated SSH connection, or a native one; return whether there was one.

        Logged-in SSH connections are few: `ssh.connections` for each user.
        """
        crowded_out = self._waiting.evict()
        if crowded_out is None:
            return self._native.make_room()
        crowded_out.hang_up()
        return True

    async def _receive(self, guest: SshConnection) -> None:
        """Start the key exchange when the limiter allows; close if the login takes too long."""
        started = self._loop.time()
        network, turns = network_of(guest.address), self._turns
        turn = turns.queue(network)
        try:
            async with asyncio.timeout(self._policy.login_s):
                await turn
        except TimeoutError:
            guest.hang_up()
        finally:
            turns.leave(network, turn)
        guest.begin()
        await asyncio.sleep(max(0.0, started + self._own.login_s - self._loop.time()))
        if guest.entry is None:
            guest.hang_up()

    async def _look_after(self) -> None:
        """End connections whose session or drop key is no longer valid, and idle connections.

        A connection is idle while it has no open channel.
        """
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            known = {guest: guest.entry for guest in self._guests if guest.entry is not None}
            try:
                held = await self._loop.run_in_executor(
                    self._pool, self._still_in, set(known.values())
                )
            except FsError as error:
                log.warning("sessions could not be looked at: %s", error.sentence)
                continue
            except Exception:  # the next check runs in a second
                log.exception("sessions could not be looked at")
                continue
            for guest, entry in known.items():
                if entry not in held or guest.idle_for() > self._policy.idle_s:
                    guest.hang_up()

    # --- in other threads

    def _still_in(self, entries: set[Entry]) -> set[Entry]:
        holders = {one for one in entries if isinstance(one, KeyHolder)}
        people = {one for one in entries if isinstance(one, SshEntry)}
        running = self._rooms.logins.running({one.session_id for one in people})
        held = {one for one in people if one.session_id in running}
        return held | self._drops.still_held(holders)

    def _carried(self, sock: socket.socket, address: str, voucher: UsedCode | None) -> None:
        if self._closing:
            raise RuntimeError("the listener is being closed")
        self._loop.call_soon_threadsafe(self._native.take_in, sock, address, voucher)

    def _enter(self, guest: SshConnection) -> bool:
        """Count a connection as logged in; return False if its user has too many connections."""
        self._loop.call_soon_threadsafe(self._waiting.leave, network_of(guest.address), guest)
        entries = [each.entry for each in list(self._guests) if each.entry is not None]
        here = Counter(entry.user_id for entry in entries)
        return guest.entry is not None and here[guest.entry.user_id] <= self._own.connections

    def _left(self, guest: SshConnection) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop has ended already
            self._loop.call_soon_threadsafe(self._gone, guest)
        if isinstance(guest.entry, SshEntry):
            try:
                self._rooms.logins.left(guest.entry)
            except FsError as error:
                log.warning("a session could not be ended: %s", error.sentence)

    def _gone(self, guest: SshConnection) -> None:
        self._waiting.leave(network_of(guest.address), guest)
        task = self._guests.pop(guest, None)
        if task is not None:
            task.cancel()


def _opened(key: SshHostKey) -> paramiko.PKey:
    kinds = {"ED25519": paramiko.Ed25519Key, "RSA": paramiko.RSAKey}
    return kinds[key.kind].from_private_key(io.StringIO(key.private))
