"""One SSH connection: its login, its session or drop key, and its channels.

All of this runs in the connection's own thread, except where a comment says otherwise.
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
from fsd.net.ssh.windows import Windows
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
"""The result of a login: a user's session, or a key that can only drop files for one user."""
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
    """A few threads for the database; all unauthenticated connections share them."""
    keys: list[paramiko.PKey]
    native: Callable[[socket.socket, str, UsedCode | None], None]
    """Serves the native protocol on a socket."""
    enter: Callable[[SshConnection], str]
    """Called after a login; returns the reason if the connection cannot stay."""
    left: Callable[[SshConnection], None]
    """Called when a connection has ended."""
    windows: Windows
    """The large windows of the connections."""
    counted: Callable[[str], None]
    """Called with the result of a login: `ok`, `refused` or `failed`."""


class SshConnection:
    """One SSH connection, and its login."""

    def __init__(self, rooms: SshServices, sock: socket.socket, address: str) -> None:
        self._rooms = rooms
        self._sock = sock
        self.address = address
        self.entry: Entry | None = None
        """The session or the drop key that logged in; None before login."""
        self.used_code: UsedCode | None = None
        """Vouches for one native login over this connection, if a code was consumed here."""
        self.quiet_since = time.monotonic()
        """When a channel was last seen open, by `time.monotonic()`."""
        self._transport: Transport | None = None
        self._over = threading.Event()

    # --- on the event loop, or in any thread

    def begin(self) -> None:
        """Start the SSH protocol in a new thread."""
        if self._over.is_set():
            self._rooms.left(self)
            return
        try:
            transport = Transport(self._sock, self._rooms.keys, self._ended)
            transport.start_server(event=threading.Event(), server=SshAuth(self))
        except (RuntimeError, MemoryError):  # no further thread can be started
            log.warning("no thread for a connection", extra={"address": self.address})
            self._ended()
        else:
            self._transport = transport

    def hang_up(self) -> None:
        """Close the connection; its thread notices at once."""
        self._over.set()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        if self._transport is None:
            self._sock.close()

    @property
    def is_logged_in(self) -> bool:
        """Whether a user is logged in, and the connection was not ended."""
        return self.entry is not None and not self._over.is_set()

    @property
    def is_busy(self) -> bool:
        """Whether a channel is open."""
        return self._transport is not None and bool(self._transport.running())

    def idle_for(self) -> float:
        """Return how long, in seconds, no channel has been open."""
        if self.is_busy:
            self.quiet_since = time.monotonic()
        return time.monotonic() - self.quiet_since

    # --- login

    def try_code(self, user: str, code: str, ssh_key: bytes) -> bool:
        """Return whether a code logs the user in; every refusal takes the same time."""
        ask = partial(self._rooms.logins.with_code, user, code, ssh_key, self.address)
        asked = time.monotonic()
        entry = self._decided(ask)
        if not isinstance(entry, SshEntry):
            self._over.wait(until_answer(self._rooms.policy.refusal_s, asked))
            return False
        self.used_code = UsedCode(CodeUsed(entry.user_id))
        return self._enter(entry)

    def try_key(self, user: str, ssh_key: bytes) -> bool:
        """Return whether a proved key logs the user in."""
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
        """Return the result of a login; None if it was refused or failed, for any reason."""
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
        except Exception:  # logged here: paramiko would treat it as an error of the client
            log.exception("login failed", extra={"address": self.address})
        else:
            if entry is not None:  # a key without a session is not a login yet
                self._rooms.counted("ok")
            return entry
        self._rooms.counted(result)
        return None

    def _enter(self, entry: Entry) -> bool:
        self.entry = entry
        if why_not := self._rooms.enter(self):
            log.warning("%s", why_not, extra={"user": entry.user, "address": self.address})
            self.hang_up()
        return not why_not

    def _ended(self) -> None:
        self._over.set()
        self._sock.close()
        self._rooms.left(self)

    # --- channels

    @property
    def is_full(self) -> bool:
        """Whether no further channel may be opened."""
        running = self._transport.running() if self._transport is not None else []
        return self._over.is_set() or len(running) >= MOST_CHANNELS

    @property
    def banner(self) -> str:
        """The text for every client before login."""
        return WORDS if self._rooms.drops.policy.box else ""

    def carry(self, channel: paramiko.Channel) -> str:
        """Carry the native protocol over a channel; return the reason if it is refused."""
        if self.entry is None or self._over.is_set():
            return _LATE
        if isinstance(self.entry, KeyHolder):
            return _DROPS_ALONE
        ours, theirs = socket.socketpair()
        try:
            self._rooms.native(theirs, self.address, self.used_code)
        except RuntimeError:  # the server is stopping
            ours.close()
            theirs.close()
            return _LATE
        windows = self._rooms.windows
        bridge(
            channel,
            ours,
            self._rooms.policy.idle_s,
            began=partial(windows.widen, channel, self.entry.user_id),
            left=partial(windows.leave, channel),
        )
        return ""

    def drop(self, channel: paramiko.Channel) -> str:
        """Connect a channel to the drop box; return the reason if it is refused.

        All connections of one session, or of one key from one address, see each other's drops.
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
        windows = self._rooms.windows

        def left() -> None:
            windows.leave(channel)
            box.leave()

        began = partial(windows.widen, channel, entry.user_id)
        drop(channel, box, self._rooms.policy.idle_s, began=began, left=left)
        return ""
