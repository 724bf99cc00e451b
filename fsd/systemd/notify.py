"""Tells systemd when the server is ready, reloading and stopping (sd_notify(3)).

Nothing is sent if `NOTIFY_SOCKET` is not set.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

_VARIABLE = "NOTIFY_SOCKET"

READY = "READY=1"
STOPPING = "STOPPING=1"


def reloading() -> str:
    """Return the notification of a reload; `READY` must follow."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


def notify(state: str) -> None:
    """Send a state to systemd; ignore a failure, which has no recipient."""
    where = os.environ.get(_VARIABLE)
    if not where or not hasattr(socket, "AF_UNIX"):
        return
    address = "\0" + where[1:] if where.startswith("@") else where
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
    ):
        sock.connect(address)
        sock.sendall(state.encode())
