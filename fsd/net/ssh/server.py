"""The SSH listener: accepts on the event loop; each connection has a thread for SSH.

Unauthenticated connections have the same limits and settings as at the native listener (`limits`).
All connections together have one more limit, because each has a thread: unauthenticated ones may
use what logged-in ones leave of it.
Logged-in connections are checked every second: when their session ends elsewhere, they end too.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence

import paramiko

from fsd.auth.throttle import network_of
from fsd.home.ssh_host_keys import SshHostKey
from fsd.net.balancers import Balancers
from fsd.net.descriptors import Reserve
from fsd.net.limits import HandshakeLimiter, Unauthenticated
from fsd.net.listen import accept
from fsd.net.server import NativeServer
from fsd.net.ssh.connection import Entry, SshConnection, SshServices
from fsd.net.ssh.windows import Windows
from fsd.net.used_code import UsedCode
from fsd.policies import ListenerPolicy, SshPolicy
from fsd.services.drops.model import KeyHolder
from fsd.services.drops.service import DropService
from fsd.services.login.ssh_login import SshEntry, SshLoginService
from fsd.workers import started_pool
from fskit.ssh import silence_paramiko
from fsproto.errors import FsError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""Seconds that a connection may remain open after its session was ended elsewhere."""
GOODBYE_S = 5.0
"""Seconds for connections to end after the server closed them."""
ALWAYS_UNAUTHENTICATED = 8
"""Unauthenticated connections for which there is room even if all others are logged in."""
SAY_FULL_EVERY_S = 60.0
"""Seconds between two warnings that all connections are in use."""
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
        self._pool = started_pool(_POOL, "fsd-ssh")
        self._keys = [_opened(key) for key in keys]
        self._loop: asyncio.AbstractEventLoop
        self._windows = Windows()
        self._entering = threading.Lock()
        """Held while a login is counted, so that each sees those before it."""
        self._say_full_again_s = 0.0
        self._rooms = self._built(logins)
        self._turns = HandshakeLimiter.by(policy)
        self._waiting: Unauthenticated[SshConnection] = Unauthenticated(
            most=policy.waiting, most_of_one=policy.waiting_of_one
        )
        self._reserve = Reserve()
        self._guests: dict[SshConnection, asyncio.Task[None]] = {}
        self._balancers = Balancers(policy.proxies, self._let_in)
        self._fit()
        self._listening: list[socket.socket] = []
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []

    def renew(self, logins: SshLoginService, policy: ListenerPolicy, own: SshPolicy) -> None:
        """Use other parts for new connections; open connections keep theirs."""
        self._policy, self._own = policy, own
        self._balancers.addresses = policy.proxies
        self._rooms, self._turns = self._built(logins), HandshakeLimiter.by(policy)
        self._fit()

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
            windows=self._windows,
            counted=self._counted,
        )

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._guests)

    async def open_on(self, listening: list[socket.socket]) -> None:
        """Start accepting on listening sockets, which other processes may share."""
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        let_in = self._balancers.let_in
        self._tasks = [
            asyncio.create_task(accept(sock, let_in, self._reserve, self._make_room))
            for sock in self._listening
        ]
        self._tasks.append(asyncio.create_task(self._look_after()))

    async def stop_accepting(self) -> None:
        """Stop accepting, and close unauthenticated connections."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listening in self._listening:
            listening.close()
        await self._balancers.close()
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
            self._crowd_out(crowded_out)

    def _crowd_out(self, guest: SshConnection) -> None:
        """Close an unauthenticated connection for a newer one; warn if all connections are used."""
        guest.hang_up()
        log.debug("made room for another", extra={"address": guest.address})
        most, now_s = self._own.all_connections, self._loop.time()
        if self._logged_in() + len(self._waiting) >= most and now_s >= self._say_full_again_s:
            self._say_full_again_s = now_s + SAY_FULL_EVERY_S
            log.warning(
                "%d SSH connections are open, which is the limit (ssh.all_connections); "
                "the oldest one without a login is closed for each new one",
                most,
            )

    def _logged_in(self) -> int:
        return sum(guest.is_logged_in for guest in list(self._guests))

    def _fit(self) -> None:
        """Leave to unauthenticated connections what logged-in ones do not use of the total."""
        left = self._own.all_connections - self._logged_in()
        most = min(self._policy.waiting, max(ALWAYS_UNAUTHENTICATED, left))
        self._waiting.limit(most=most, most_of_one=self._policy.waiting_of_one)
        while len(self._waiting) > most and (crowded_out := self._waiting.evict()) is not None:
            self._crowd_out(crowded_out)

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

    def _carried(self, sock: socket.socket, address: str, used_code: UsedCode | None) -> None:
        if self._closing:
            raise RuntimeError("the listener is being closed")
        self._loop.call_soon_threadsafe(self._native.take_in, sock, address, used_code)

    def _enter(self, guest: SshConnection) -> str:
        """Count a connection as logged in; return the reason if it cannot stay."""
        why_not = ""
        with self._entering:
            others = [
                each for each in list(self._guests) if each.is_logged_in and each is not guest
            ]
            counts = Counter(each.entry.user_id for each in others if each.entry is not None)
            mine = counts[guest.entry.user_id] if guest.entry is not None else 0
            if mine >= self._own.connections:
                why_not = "too many SSH connections of one user (ssh.connections)"
            elif len(others) >= self._own.all_connections:
                why_not = _make_room_for(mine, others, counts)
        with contextlib.suppress(RuntimeError):  # the event loop has ended already
            self._loop.call_soon_threadsafe(self._entered, guest)
        return why_not

    def _entered(self, guest: SshConnection) -> None:
        self._waiting.leave(network_of(guest.address), guest)
        self._fit()

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
        self._fit()
        if task is not None:
            task.cancel()


def _make_room_for(mine: int, others: list[SshConnection], counts: Counter[int]) -> str:
    """End a connection of the user with the most, for one of a user with `mine` others.

    Return the reason if that would leave that user with fewer connections than the new one.
    """
    largest, most = counts.most_common(1)[0]
    if most <= mine + 1:
        return "too many SSH connections in total (ssh.all_connections)"
    theirs = [each for each in others if each.entry is not None and each.entry.user_id == largest]
    ended = max(theirs, key=lambda each: each.idle_for())  # the oldest one if none is idle
    log.warning(
        "too many SSH connections in total (ssh.all_connections); one of this user is closed",
        extra={
            "user": ended.entry.user if ended.entry is not None else "",
            "address": ended.address,
        },
    )
    ended.hang_up()
    return ""


def _opened(key: SshHostKey) -> paramiko.PKey:
    kinds = {"ED25519": paramiko.Ed25519Key, "RSA": paramiko.RSAKey}
    return kinds[key.kind].from_private_key(io.StringIO(key.private))
