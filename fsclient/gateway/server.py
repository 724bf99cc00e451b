"""The gateway's SSH server: for one user, on this machine, with one accepted key.

paramiko implements SSH; `sftp_session.py` implements SFTP in its channels. There is only SFTP
and checksums: no shell, no forwarding and no other subsystem.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable
from functools import partial

import paramiko

from fsclient.gateway import checksums
from fsclient.gateway.backend import Backend
from fsclient.gateway.filesystem import Filesystem
from fsclient.gateway.keys import GatewayKeys, public_blob
from fsclient.gateway.listen import Place, place_of, remove
from fsclient.gateway.sftp_session import SftpSession
from fskit.sftp.packets import BadPacketError
from fskit.sftp.status import sentence_of
from fskit.ssh import ServerTransport, silence_paramiko, start_after_grant
from fsproto.errors import FsError

DRAIN_S = 20.0
"""Seconds to publish files that are already closed, when the gateway ends."""
LOGIN_S = 20.0
"""Seconds from the connection to the login."""
MOST_STRANGERS = 16
"""The most unauthenticated connections; beyond that, the oldest one is closed."""
MOST_KNOWN = 128
"""The most logged-in connections; a further login is refused. Each uses a thread or more."""
WINDOW = 8 << 20
"""Bytes that a client may send before the server has processed them."""
LARGEST_PACKET = 256 * 1024
"""Bytes in one SSH packet of data."""
ACCEPT_PAUSE_S = 0.1
"""Seconds before the next accept, after the limit of connections was reached."""
_PASSING = (errno.EMFILE, errno.ENFILE, errno.ECONNABORTED, errno.ENOBUFS, errno.ENOMEM)
_PIECE = 512 * 1024


class GatewayServer:
    """A server that accepts connections until it is closed."""

    def __init__(self, backend: Backend, keys: GatewayKeys, listener: socket.socket) -> None:
        silence_paramiko()
        self._backend = backend
        self._host_key = paramiko.Ed25519Key.from_private_key_file(str(keys.host_key))
        self._let_in = public_blob(keys.client_public)
        self._listener = listener
        self._address = place_of(listener)
        self._guests: dict[GatewayConnection, None] = {}
        """In the order of their arrival."""
        self._lock = threading.Lock()
        self._said_full = False
        self._closed = False

    @property
    def address(self) -> Place:
        """Where it listens."""
        return self._address

    def serve(self) -> None:
        """Serve until the listener is closed."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if self._closed:
                    return
                if error.errno not in _PASSING:
                    raise
                time.sleep(ACCEPT_PAUSE_S)
                continue
            guest = GatewayConnection(
                self._backend, self._host_key, self._let_in, connection, self._may_enter
            )
            with self._lock:
                strangers = [one for one in self._guests if not one.is_known]
                self._guests[guest] = None
            if len(strangers) >= MOST_STRANGERS:
                strangers[0].close()  # the oldest one makes room
            threading.Thread(target=self._entertain, args=(guest,), daemon=True).start()

    def _may_enter(self) -> bool:
        """Return whether one more connection may log in; otherwise print a warning, once."""
        with self._lock:
            is_full = sum(guest.is_known for guest in self._guests) >= MOST_KNOWN
            says, self._said_full = is_full and not self._said_full, is_full
        if says:
            self._backend.ui.warn(
                f"{MOST_KNOWN} connections use this gateway, and more are refused. "
                "End programs that use it."
            )
        return not is_full

    def _entertain(self, guest: GatewayConnection) -> None:
        try:
            guest.serve()
        finally:
            with self._lock:
                self._guests.pop(guest, None)

    def close(self) -> None:
        """Stop listening and end all connections; files that are still open are discarded."""
        self._closed = True
        with contextlib.suppress(OSError):  # wakes the thread that waits in `accept`
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        remove(self._address)
        with self._lock:
            guests = list(self._guests)
        for guest in guests:
            guest.close()
        ends = time.monotonic() + DRAIN_S
        for guest in guests:
            guest.wait(ends)


class GatewayConnection:
    """One SSH connection."""

    def __init__(
        self,
        backend: Backend,
        host_key: paramiko.PKey,
        let_in: bytes,
        connection: socket.socket,
        may_enter: Callable[[], bool],
    ) -> None:
        """`let_in` is the accepted key. `may_enter` is asked when a client offers that key."""
        self.may_enter = may_enter
        self._backend = backend
        self._host_key = host_key
        self._let_in = let_in
        self._connection = connection
        self._transport: paramiko.Transport | None = None
        self._work: list[threading.Thread] = []
        self.is_known = False

    def serve(self) -> None:
        """Serve the connection until it ends."""
        with contextlib.suppress(OSError):
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
            self._transport = transport = ServerTransport(
                self._connection,
                default_window_size=WINDOW,
                default_max_packet_size=LARGEST_PACKET,
            )
            transport.add_server_key(self._host_key)
            watch = threading.Timer(LOGIN_S, self._turn_away)
            watch.daemon = True
            watch.start()
            try:
                transport.start_server(server=_Rules(self, self._let_in))
                transport.join()
            finally:
                watch.cancel()
        self._connection.close()

    def _turn_away(self) -> None:
        if not self.is_known:
            self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()
        self._connection.close()

    def wait(self, ends: float) -> None:
        """Wait for pending work of the connection, at most until `ends` (`time.monotonic`)."""
        for work in self._work:
            work.join(max(0.0, ends - time.monotonic()))

    # --- channels

    def prepare(self, channel: paramiko.Channel, work: Callable[[], None]) -> None:
        """Serve a channel in its own thread after its request was answered."""
        self._work = [one for one in self._work if one.is_alive()]
        thread = threading.Thread(target=work, daemon=True)

        def begin() -> None:
            thread.start()
            self._work.append(thread)

        start_after_grant(channel, begin)

    def converse(self, channel: paramiko.Channel) -> None:
        """Serve SFTP on a channel until it ends."""
        conversation = SftpSession(
            Filesystem(self._backend), channel.sendall, self._backend.ui.complain
        )
        try:
            while data := channel.recv(_PIECE):
                conversation.feed(data)
            channel.send_exit_status(0)  # scp uses it as the status of the whole transfer
        except (BadPacketError, OSError, EOFError):
            pass  # malformed packets or a closed channel: end the conversation
        finally:
            conversation.end()
            with contextlib.suppress(OSError, EOFError):
                channel.close()

    def checksum(self, channel: paramiko.Channel, command: str) -> None:
        """Run a checksum command on a channel."""
        filesystem = Filesystem(self._backend)
        try:
            status, said = checksums.run(filesystem, command)
        except FsError as error:
            status, said = 1, ""
            with contextlib.suppress(OSError, EOFError):
                channel.sendall_stderr(f"{sentence_of(error)}\n".encode())
        with contextlib.suppress(OSError, EOFError):
            channel.sendall(said.encode("utf-8", "surrogateescape"))
            channel.send_exit_status(status)
            channel.shutdown_write()
            channel.close()


class _Rules(paramiko.ServerInterface):  # type: ignore[misc]
    """The access rules for paramiko: the accepted login and the permitted requests."""

    def __init__(self, guest: GatewayConnection, let_in: bytes) -> None:
        self._guest = guest
        self._let_in = let_in

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if key.asbytes() != self._let_in or not self._guest.may_enter():
            return int(paramiko.AUTH_FAILED)
        return int(paramiko.AUTH_SUCCESSFUL)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if kind == "session":
            self._guest.is_known = True  # only authenticated clients open channels
            return int(paramiko.OPEN_SUCCEEDED)
        return int(paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED)

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        if name != "sftp":
            return False
        self._guest.prepare(channel, partial(self._guest.converse, channel))
        return True

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        text = command.decode("utf-8", "surrogateescape")
        self._guest.prepare(channel, partial(self._guest.checksum, channel, text))
        return True
