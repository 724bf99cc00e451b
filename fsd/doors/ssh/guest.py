"""One SSH connection: who it is, how they got in, and what they have opened.

Everything here runs in the connection's own thread, unless it says otherwise.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import paramiko

from fsd import logs
from fsd.doors.policy import DoorPolicy, until_answer
from fsd.doors.ssh.bridge import bridge
from fsd.doors.ssh.rules import MOST_CHANNELS, Rules
from fsd.doors.ssh.transport import Transport
from fsd.doors.voucher import Voucher
from fsd.services.codes import CodeUsed
from fsd.services.sshlogins import SshEntry, SshLogins
from fsproto.errors import FsError, LoginRefused

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rooms:
    """What is behind the door."""

    logins: SshLogins
    policy: DoorPolicy
    pool: Executor
    """Threads for the database: as many strangers as there are wait for these few."""
    keys: list[paramiko.PKey]
    native: Callable[[socket.socket, str, Voucher | None], None]
    """Serves the native protocol on a socket."""
    enter: Callable[[Guest], bool]
    """Called when somebody got in; tells whether there is room for them."""
    left: Callable[[Guest], None]
    """Called when a connection has ended."""
    counted: Callable[[str], None]
    """Called with what came of a login: `ok`, `refused` or `failed`."""


class Guest:
    """One connection, and who is at its other end."""

    def __init__(self, rooms: Rooms, sock: socket.socket, address: str) -> None:
        """Take what is behind the door, the connection, and where it comes from."""
        self._rooms = rooms
        self._sock = sock
        self.address = address
        self.entry: SshEntry | None = None
        """Who got in, and by which session; None as long as nobody has."""
        self.voucher: Voucher | None = None
        """Vouches for one native login inside, where a code was used up over this connection."""
        self.quiet_since = time.monotonic()
        """Since when no channel is open, as far as was looked."""
        self._transport: Transport | None = None
        self._over = threading.Event()

    # --- on the event loop, or in any thread

    def begin(self) -> None:
        """Begin to speak SSH, in a thread of its own."""
        if self._over.is_set():
            self._rooms.left(self)
            return
        transport = Transport(self._sock, self._rooms.keys, self._ended)
        try:
            transport.start_server(event=threading.Event(), server=Rules(self))
        except RuntimeError:  # there is no room for a thread
            log.warning("no thread for a connection", extra={"address": self.address})
            self._ended()
        else:
            self._transport = transport

    def hang_up(self) -> None:
        """End it; its thread notices at once."""
        self._over.set()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        if self._transport is None:
            self._sock.close()

    @property
    def is_busy(self) -> bool:
        """Whether a channel is open."""
        return self._transport is not None and bool(self._transport.running())

    def idle_for(self) -> float:
        """Return how long, in seconds, no channel has been open."""
        if self.is_busy:
            self.quiet_since = time.monotonic()
        return time.monotonic() - self.quiet_since

    # --- getting in

    def try_code(self, user: str, code: str, ssh_key: bytes) -> bool:
        """Let a code decide; a refusal takes as long as any."""
        ask = partial(self._rooms.logins.with_code, user, code, ssh_key, self.address)
        asked = time.monotonic()
        entry = self._decided(ask)
        if entry is None:
            self._over.wait(until_answer(self._rooms.policy.refusal_s, asked))
            return False
        self.voucher = Voucher(CodeUsed(entry.user_id))
        return self._enter(entry)

    def try_key(self, user: str, ssh_key: bytes) -> bool:
        """Let a key decide that was proved."""
        entry = self._decided(partial(self._rooms.logins.with_key, user, ssh_key, self.address))
        return entry is not None and self._enter(entry)

    def _decided(self, ask: Callable[[], SshEntry | None]) -> SshEntry | None:
        """Return who got in; None if nobody did, for whatever reason."""
        logs.begin_connection()
        try:
            deciding = self._rooms.pool.submit(contextvars.copy_context().run, ask)
        except RuntimeError:  # the server is stopping
            self.hang_up()
            return None
        result = "failed"
        try:
            entry = deciding.result()
        except LoginRefused:
            result = "refused"  # logged where it was decided
        except FsError as error:
            log.error("login failed: %s", error.sentence, extra={"address": self.address})  # noqa: TRY400
        except Exception:  # nobody else would say it: paramiko takes it for the client's fault
            log.exception("login failed", extra={"address": self.address})
        else:
            if entry is not None:  # a key of which there is no session is no login yet
                self._rooms.counted("ok")
            return entry
        self._rooms.counted(result)
        return None

    def _enter(self, entry: SshEntry) -> bool:
        self.entry = entry
        if self._rooms.enter(self):
            return True
        log.warning("too many connections of one person", extra={"user": entry.user})
        self.hang_up()
        return False

    def _ended(self) -> None:
        self._over.set()
        self._sock.close()
        self._rooms.left(self)

    # --- what is opened

    @property
    def is_full(self) -> bool:
        """Whether no further channel may be opened."""
        running = self._transport.running() if self._transport is not None else []
        return self._over.is_set() or len(running) >= MOST_CHANNELS

    def carry(self, channel: paramiko.Channel) -> bool:
        """Have a channel carry the native protocol."""
        if self.entry is None or self._over.is_set():
            return False
        ours, theirs = socket.socketpair()
        try:
            self._rooms.native(theirs, self.address, self.voucher)
        except RuntimeError:  # the server is stopping
            ours.close()
            theirs.close()
            return False
        bridge(channel, ours, self._rooms.policy.idle_s)
        return True
