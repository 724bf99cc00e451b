"""The agent's loop: it answers one request on each connection, and wipes keys when it is time."""

from __future__ import annotations

import math
import os
import selectors
import signal
import socket
import time
from functools import partial

from fsclient.agent.held import HeldKeys
from fsclient.agent.messages import (
    MOST_REQUEST,
    Done,
    Find,
    Forget,
    Found,
    HeldFile,
    Incoming,
    Keep,
    Lock,
    Request,
    Show,
    State,
    Stop,
    packed,
    wipe,
)
from fsclient.agent.place import SOCKET
from fskit.daemon import signal_pipe
from fskit.unix_sockets import PrivateFolder, peer_of

_TICK_S = 5.0
"""How often keys are wiped whose time has passed."""
_PATIENCE_S = 2.0
"""How long a request may take to arrive."""
_MOST_CONNECTIONS = 32
_LOCKING = "SIGHUP"
_ENDING = ("SIGTERM", "SIGINT")
_MOST_SIGNALS = 64


class _Connection:
    """A connection whose request has not arrived yet."""

    def __init__(self, peer: socket.socket) -> None:
        self.socket = peer
        self.incoming = Incoming(Request, MOST_REQUEST)
        self.ends_s = time.monotonic() + _PATIENCE_S


class AgentServer:
    """Answers at a socket until it is stopped, or until its socket is gone."""

    def __init__(self, folder: PrivateFolder, listener: socket.socket, held: HeldKeys) -> None:
        """Own the listening socket; the folder is locked by this process."""
        self._folder = folder
        self._listener = listener
        self._inode = folder.inode(SOCKET)
        self._held = held
        self._connections: list[_Connection] = []
        self._runs = True
        self._selector: selectors.BaseSelector
        """Made by `run`, in the process that runs."""

    def fileno(self) -> int:
        """Return the descriptor of the listening socket."""
        return self._listener.fileno()

    def leave(self) -> None:
        """Close the socket here; another process listens."""
        self._listener.close()

    def run(self) -> None:
        """Answer until the end; then nothing is left of keys and socket."""
        # Again, after the fork: clients see as their peer the process that called `listen` last.
        self._listener.listen()
        self._listener.settimeout(0)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        try:
            with signal_pipe((_LOCKING, *_ENDING)) as signals:
                self._selector.register(
                    signals, selectors.EVENT_READ, partial(self._take_signals, signals)
                )
                while self._runs:
                    for key, _ in self._selector.select(self._wait_s()):
                        key.data()
                    self._tidy()
        finally:
            for connection in list(self._connections):
                self._close(connection)
            self._end()

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:  # the client is gone already
            return
        peer.settimeout(0)
        if len(self._connections) >= _MOST_CONNECTIONS:
            self._close(self._connections[0])
        try:
            own = peer_of(peer).is_own
        except OSError:
            own = False
        if not own:
            peer.close()
            return
        connection = _Connection(peer)
        self._connections.append(connection)
        self._selector.register(peer, selectors.EVENT_READ, partial(self._receive, connection))

    def _receive(self, connection: _Connection) -> None:
        """Read on; answer a request that is complete. Whatever is wrong closes the connection."""
        if connection not in self._connections:  # closed since the selector has reported it
            return
        try:
            count = connection.socket.recv_into(connection.incoming.room)
            connection.incoming.took(count)
            request = connection.incoming.message() if count else None
            if count and request is None:
                return
            if request is not None:
                self._send(connection, self._answer(request))
        except BlockingIOError:
            return
        except (OSError, ValueError):
            pass
        self._close(connection)

    def _answer(self, request: Request) -> bytearray:
        match request:
            case Find():
                return self._found(request)
            case Keep():
                self._held.keep(request.path, request.digest, request.key)
            case Forget():
                self._held.forget(request.path)
            case Lock():
                self._held.forget_all()
            case Show():
                return packed(self._state())
            case Stop():
                self._end()
        return packed(Done())

    def _found(self, request: Find) -> bytearray:
        key = self._held.find(request.path, request.digest)
        try:
            return packed(Found(key))
        finally:
            if key is not None:
                key.release()

    def _state(self) -> State:
        files = [HeldFile(path, int(left_s)) for path, left_s in self._held.left_s().items()]
        return State(os.getpid(), int(self._held.hold_s), files)

    def _send(self, connection: _Connection, answer: bytearray) -> None:
        """Send an answer, which fits into the buffer of a socket; then wipe it."""
        try:
            connection.socket.send(answer)
        finally:
            wipe(answer)

    def _take_signals(self, signals: int) -> None:
        for number in os.read(signals, _MOST_SIGNALS):
            if signal.Signals(number).name == _LOCKING:
                self._held.forget_all()
            else:
                self._runs = False

    def _wait_s(self) -> float:
        """Return when there is something to tidy, at the latest."""
        ends_s = min((one.ends_s for one in self._connections), default=math.inf)
        return max(0.0, min(_TICK_S, ends_s - time.monotonic()))

    def _tidy(self) -> None:
        """Wipe keys whose time has passed, close slow connections, and end without a socket."""
        self._held.refresh()
        now = time.monotonic()
        for connection in [one for one in self._connections if one.ends_s <= now]:
            self._close(connection)
        if self._inode != self._folder.inode(SOCKET) or not self._folder.is_in_place():
            self._runs = False

    def _close(self, connection: _Connection) -> None:
        self._connections.remove(connection)
        self._selector.unregister(connection.socket)
        connection.incoming.wipe()
        connection.socket.close()

    def _end(self) -> None:
        """Wipe all keys, and remove the socket and its folder, unless they are another agent's."""
        self._runs = False
        self._held.forget_all()
        if self._inode is not None and self._inode == self._folder.inode(SOCKET):
            self._folder.remove(SOCKET)
        self._inode = None
        self._listener.close()
