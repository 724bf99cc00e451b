"""Starting the agent: one for each user, in the background or in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from fsclient.agent import place
from fsclient.agent.client import NoAgentError, ask
from fsclient.agent.held import HeldKeys, read_clocks
from fsclient.agent.messages import Show, State
from fsclient.agent.server import AgentServer
from fsclient.local_errors import local_errors
from fskit.daemon import fill_standard_descriptors, fork_daemon
from fskit.secret_bytes import hide_memory
from fskit.unix_sockets import PrivateFolder
from fsproto.errors import ConflictError, FsError, NotFoundError, RemoteProtocolError

_PATIENCE_S = 3.0
"""How long another agent may take to start or to end."""
_PAUSE_S = 0.02


def start(home: Path, hold_s: float) -> tuple[State, bool]:
    """Start an agent in the background, unless one runs; return its state, and if it is new.

    `home` is the client's folder; each key is kept for `hold_s` seconds. `ConflictError` if another
    agent neither runs nor ends.
    """
    fill_standard_descriptors()
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with place.opened(home, create=True) as folder:
                is_new = _locked(folder)
                if is_new:
                    _fork(folder, hold_s)
            return show(home), is_new
        except NotFoundError as error:  # another one starts, or ends and removes the folder
            if time.monotonic() > deadline:
                raise _in_the_way() if isinstance(error, NoAgentError) else error from None
            time.sleep(_PAUSE_S)


def serve(home: Path, hold_s: float, ready: Callable[[], None]) -> None:
    """Be the agent until it is stopped; call `ready` once it listens.

    `ConflictError` if an agent runs already.
    """
    with place.opened(home, create=True) as folder:
        if not _locked(folder):
            raise _in_the_way()
        server = _server(folder, hold_s)
        ready()
        hide_memory()
        server.run()


def show(home: Path) -> State:
    """Return what the running agent keeps; raises as `ask`."""
    state = ask(home, Show())
    if not isinstance(state, State):
        raise RemoteProtocolError("The agent sent another answer than its state.")
    return state


def clear_away(home: Path) -> None:
    """Remove the socket of an agent that was killed, if no agent runs."""
    try:
        with place.opened(home) as folder:
            if _locked(folder):
                folder.remove(place.SOCKET)
    except NotFoundError:
        return


def _locked(folder: PrivateFolder) -> bool:
    """Lock the folder for an agent; False if another agent has it, or has just removed it."""
    with local_errors(folder.path):
        return folder.lock() and folder.is_in_place()


def _server(folder: PrivateFolder, hold_s: float) -> AgentServer:
    with local_errors(folder.path / place.SOCKET):
        listener = folder.listen(place.SOCKET)
    return AgentServer(folder, listener, HeldKeys(hold_s, read_clocks))


def _fork(folder: PrivateFolder, hold_s: float) -> None:
    """Listen, and go on in a new process; errors of the place are raised in this one."""
    server = _server(folder, hold_s)
    try:
        forked = fork_daemon((folder.fd, server.fileno()))
    except OSError as error:
        folder.remove(place.SOCKET)
        raise FsError(f"The agent cannot be started: {error.strerror}.") from None
    if not forked:
        server.leave()
        return
    try:
        hide_memory()
        server.run()
    finally:
        os._exit(0)


def _in_the_way() -> ConflictError:
    return ConflictError(
        "Another agent of yours runs, or is about to end.",
        hint="'fsclient agent status' shows it, 'fsclient agent stop' ends it.",
    )
