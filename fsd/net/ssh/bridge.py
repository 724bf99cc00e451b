"""Carries bytes between a channel and a socket, with one thread for each direction."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from functools import partial

import paramiko

from fskit.ssh import close, start_after_grant

log = logging.getLogger(__name__)

_PIECE = 64 * 1024


def bridge(
    channel: paramiko.Channel,
    sock: socket.socket,
    silence_s: float,
    *,
    began: Callable[[], None],
    left: Callable[[], None],
) -> None:
    """Carry bytes after the channel's request was answered, until either side ends.

    `silence_s` is how long, in seconds, the client may leave sent bytes unreceived. `began` is
    called in the first of the threads, and `left` at the end.
    """
    channel.settimeout(silence_s)
    sock.setblocking(True)  # noqa: FBT003 - the standard library's own signature

    def begin() -> None:
        inwards, outwards = (
            threading.Thread(target=work, args=(channel, sock), daemon=True)
            for work in (partial(_inwards, began=began), partial(_outwards, left=left))
        )
        try:
            outwards.start()
        except RuntimeError:  # the system starts no further thread
            _end(channel, sock, left)
            raise
        try:
            inwards.start()
        except RuntimeError:
            sock.shutdown(socket.SHUT_RDWR)  # which ends the other thread
            raise

    start_after_grant(channel, begin)


def _inwards(channel: paramiko.Channel, sock: socket.socket, *, began: Callable[[], None]) -> None:
    """Carry bytes from the client to the socket."""
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        began()
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


def _outwards(channel: paramiko.Channel, sock: socket.socket, *, left: Callable[[], None]) -> None:
    """Carry bytes from the socket to the client; close the channel, which ends both threads."""
    try:
        with contextlib.suppress(OSError, EOFError):
            while data := sock.recv(_PIECE):
                channel.sendall(data)
            channel.send_exit_status(0)
    finally:
        _end(channel, sock, left)


def _end(channel: paramiko.Channel, sock: socket.socket, left: Callable[[], None]) -> None:
    close(channel)
    sock.close()
    left()
