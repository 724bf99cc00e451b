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
from fsd.net.dropbox import WORDS
from fsd.net.ssh.auth import MOST_CHANNELS, SshAuth
from fsd.net.ssh.bridge import bridge
from fsd.net.ssh.drop_channel import drop
from fsd.net.ssh.transport import Transport
from fsd.net.timing import until_answer
from fsd.net.used_code import UsedCode
from fsd.policies import ListenerPolicy
from fsd.services.drops.model import DropSource, KeyHolder
from fsd.services.drops.service import DropService
from fsd.services.login.codes import CodeUsed
from fsd.services.login.ssh_login import SshEntry, SshLoginService
from fskit.sftp.status import sentence_of
from fsproto import crypto
from fsproto.errors import FsError, LoginRefused

log = logging.getLogger(__name__)

Entry = SshEntry | KeyHolder
"""Who got in: a person, by a session, or a key that may drop files for one and nothing else."""
_LATE = "The server is stopping."
_NO_DROPS = "The drop box is off; files go through fsclient, or through its gateway."
_DROPS_ALONE = "That key may drop files, and nothing else."


@dataclass(frozen=True)
class SshServices:
    """The services that an SSH connection uses."""

    logins: SshLoginService
    drops: DropService
    policy: ListenerPolicy
    pool: Executor
    """Threads for the database: as many strangers as there are wait for these few."""
    keys: list[paramiko.PKey]
    native: Callable[[socket.socket, str, UsedCode | None], None]
    """Serves the native protocol on a socket."""
    enter: Callable[[SshConnection], bool]
    """Called when somebody got in; tells whether there is room for them."""
    left: Callable[[SshConnection], None]
    """Called when a connection has ended."""
    counted: Callable[[str], None]
    """Called with what came of a login: `ok`, `refused` or `failed`."""


class SshConnection:
    """One connection, and who is at its other end."""

    def __init__(self, rooms: SshServices, sock: socket.socket, address: str) -> None:
        """Take what is behind the door, the connection, and where it comes from."""
        self._rooms = rooms
        self._sock = sock
        self.address = address
        self.entry: Entry | None = None
        """Who got in: by which session, or by which key to drop files; None if nobody has yet."""
        self.voucher: UsedCode | None = None
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
            transport.start_server(event=threading.Event(), server=SshAuth(self))
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
        if not isinstance(entry, SshEntry):
            self._over.wait(until_answer(self._rooms.policy.refusal_s, asked))
            return False
        self.voucher = UsedCode(CodeUsed(entry.user_id))
        return self._enter(entry)

    def try_key(self, user: str, ssh_key: bytes) -> bool:
        """Let a key decide that was proved."""
        entry = self._decided(partial(self._by_key, user, ssh_key))
        return entry is not None and self._enter(entry)

    def _by_key(self, user: str, ssh_key: bytes) -> Entry | None:
        entry = self._rooms.logins.with_key(user, ssh_key, self.address)
        if entry is not None:
            return entry
        holder = self._rooms.drops.key_holder(crypto.as_fingerprint(ssh_key))
        if holder is None or holder.user != user:
            return None
        log.info("a key that drops logged in", extra={"user": user, "address": self.address})
        return holder

    def _decided(self, ask: Callable[[], Entry | None]) -> Entry | None:
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

    def _enter(self, entry: Entry) -> bool:
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

    @property
    def banner(self) -> str:
        """What everybody is told before they log in."""
        return WORDS if self._rooms.drops.policy.box else ""

    def carry(self, channel: paramiko.Channel) -> str:
        """Have a channel carry the native protocol; return why not, if that cannot be."""
        if self.entry is None or self._over.is_set():
            return _LATE
        if isinstance(self.entry, KeyHolder):
            return _DROPS_ALONE
        ours, theirs = socket.socketpair()
        try:
            self._rooms.native(theirs, self.address, self.voucher)
        except RuntimeError:  # the server is stopping
            ours.close()
            theirs.close()
            return _LATE
        bridge(channel, ours, self._rooms.policy.idle_s)
        return ""

    def drop(self, channel: paramiko.Channel) -> str:
        """Have a channel speak with the drop box; return why not, if that cannot be.

        All connections of one session, or of one key from one address, see what these dropped.
        """
        entry, drops = self.entry, self._rooms.drops
        if entry is None or self._over.is_set():
            return _LATE
        if not drops.policy.box:
            return _NO_DROPS
        if isinstance(entry, KeyHolder):
            source, session = entry.source(self.address), entry.fingerprint
        else:
            source, session = DropSource(self.address), str(entry.session_id)
        try:
            box = drops.enter(entry.user, source, session)
        except FsError as error:
            return sentence_of(error)
        drop(channel, box, self._rooms.policy.idle_s, box.leave)
        return ""
