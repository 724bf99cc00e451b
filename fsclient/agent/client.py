"""Asking the agent: strictly for commands about it, and without any failure for all others."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import Any

from fsclient.agent import place
from fsclient.agent.messages import (
    MOST_ANSWER,
    Answer,
    Find,
    Forget,
    Found,
    Incoming,
    Keep,
    Request,
    packed,
    wipe,
)
from fskit.unix_sockets import peer_of
from fsproto import crypto
from fsproto.errors import FsError, NotAllowedError, NotFoundError, Unreachable

WAIT_S = 1.0
"""The longest time for an answer: an agent that hangs must not stop a command."""


_PAUSE_S = 0.01
_TRIES = 4
"""How often an agent may close the connection without an answer."""


class NoAgentError(NotFoundError):
    """No agent is running."""


class AgentKey:
    """The key of one identity file, as the agent keeps it. No failure of the agent shows here."""

    def __init__(self, home: Path, file: Path, content: bytes) -> None:
        """Take the client's folder, the path of the identity file, and its content."""
        self._home = home
        self._path = _name(file)
        self._digest = crypto.sha256(content)
        self._answers = True

    def find(self) -> bytes | None:
        """Return the key that the agent gives for the file, right or wrong; None if it has none."""
        found = self._ask(Find(self._path, self._digest))
        if not isinstance(found, Found) or found.key is None:
            return None
        return bytes(found.key)

    def keep(self, key: bytes) -> None:
        """Give the agent the key, unless it has just not answered."""
        if self._answers:
            self._ask(Keep(self._path, self._digest, memoryview(key)))

    def forget(self) -> None:
        """Let the agent wipe the key."""
        self._ask(Forget(self._path))

    def _ask(self, request: Request) -> Answer | None:
        try:
            return ask(self._home, request)
        except (FsError, OSError):
            self._answers = False
            return None


def ask(home: Path, request: Request) -> Answer:
    """Return the agent's answer.

    Raises `NoAgentError`, `NotAllowedError` for an agent of another user, and `Unreachable` for
    one that does not answer within `WAIT_S` seconds, or not as this version does.
    """
    deadline, tries = time.monotonic() + WAIT_S, _TRIES
    while True:
        with _connected(home, deadline) as connection:
            peer = peer_of(connection)
            if not peer.is_own:
                raise NotAllowedError("The agent belongs to another user.")
            who = f"The agent (process {peer.pid})" if peer.pid else "The agent"
            hint = f"End it with 'kill {peer.pid}'." if peer.pid else None
            try:
                return _answer(connection, request, deadline)
            except TimeoutError:
                raise Unreachable(f"{who} does not answer.", hint=hint) from None
            except (OSError, ValueError) as error:
                tries -= 1
                if not tries or not isinstance(error, ConnectionError):
                    raise Unreachable(
                        f"{who} does not answer as this version of fsclient does.", hint=hint
                    ) from None
        time.sleep(_PAUSE_S)  # an agent that ends closes its connections, and is gone then


def _connected(home: Path, deadline: float) -> socket.socket:
    try:
        with place.opened(home) as folder:
            while True:
                try:
                    return folder.connect(place.SOCKET, _left(deadline))
                except BlockingIOError:  # too many others wait for a connection
                    time.sleep(_PAUSE_S)
    except (NotFoundError, FileNotFoundError, ConnectionRefusedError):
        raise NoAgentError from None
    except TimeoutError:
        raise Unreachable("The agent does not answer.") from None
    except OSError as error:
        raise Unreachable(f"The agent cannot be reached: {error.strerror or error}.") from None


def _answer(connection: socket.socket, request: Request, deadline: float) -> Answer:
    """Send a request and receive the answer; `OSError`, or `ValueError` for a malformed one."""
    message = packed(request)
    try:
        connection.settimeout(_left(deadline))
        connection.sendall(message)
    finally:
        wipe(message)
    incoming = Incoming(Answer, MOST_ANSWER)
    while (answer := incoming.message()) is None:
        connection.settimeout(_left(deadline))
        count = connection.recv_into(incoming.room)
        if not count:
            raise ConnectionResetError
        incoming.took(count)
    found: Any = answer
    return found  # type: ignore[no-any-return]


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _name(file: Path) -> bytes:
    """Return the name under which the agent keeps the key of a file."""
    with contextlib.suppress(OSError, RuntimeError):
        file = file.resolve()
    return os.fsencode(file.absolute())
