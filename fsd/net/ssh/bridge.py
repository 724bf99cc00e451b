"""Carries bytes between a channel and a socket, with one thread for each direction."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from functools import partial

import paramiko

from fskit.ssh import start_after_grant

log = logging.getLogger(__name__)

_PIECE = 256 * 1024


def bridge(channel: paramiko.Channel, sock: socket.socket, silence_s: float) -> None:
    """Carry bytes after the channel's request was answered, until either side ends.

    `silence_s` is how long, in seconds, the client may leave sent bytes unreceived.
    """
    channel.settimeout(silence_s)
    sock.setblocking(True)  # noqa: FBT003 - the standard library's own signature

    def begin() -> None:
        for work in (_inwards, _outwards):
            threading.Thread(target=partial(work, channel, sock), daemon=True).start()

    start_after_grant(channel, begin)


def _inwards(channel: paramiko.Channel, sock: socket.socket) -> None:
    """Carry bytes from the client to the socket."""
    with contextlib.suppress(OSError, EOFError):
        while True:
            try:
                data = channel.recv(_PIECE)
            except TimeoutError:
                # A client may send nothing for long: the native protocol has its own timeout.
                continue
            if not data:
                break
            sock.sendall(data)
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


def _outwards(channel: paramiko.Channel, sock: socket.socket) -> None:
    """Carry bytes from the socket to the client; close the channel, which ends both threads."""
    try:
        with contextlib.suppress(OSError, EOFError):
            while data := sock.recv(_PIECE):
                channel.sendall(data)
            channel.send_exit_status(0)
    finally:
        with contextlib.suppress(OSError, EOFError):
            channel.close()
        sock.close()
