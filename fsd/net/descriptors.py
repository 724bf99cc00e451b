"""Descriptors of this process: a high limit, and some that connections never take.

Files, the database and the listeners need descriptors, too. So a part of them is kept from the
connections: when a new connection gets a number in that part, an older one makes room for it.
"""

from __future__ import annotations

import contextlib
import os
import socket

from fskit.descriptors import MOST

_LEAST_KEPT = 64


def for_connections() -> int:
    """Return how many descriptors connections may take: the limit, less a quarter of it.

    Of a low limit, more is kept for files and the database, but at most the half.
    """
    limit = MOST
    with contextlib.suppress(ImportError):
        import resource

        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        limit = MOST if soft == resource.RLIM_INFINITY else soft
    return limit - min(max(_LEAST_KEPT, limit // 4), limit // 2)


class Reserve:
    """The descriptors that connections must not use, and an open spare descriptor."""

    def __init__(self) -> None:
        self._spare: int | None = os.open(os.devnull, os.O_RDONLY)

    def is_touched(self, sock: socket.socket) -> bool:
        """Return whether a new socket took a kept descriptor: a new one gets the lowest number."""
        return sock.fileno() >= for_connections()

    def shed(self, listening: socket.socket) -> None:
        """Accept one connection and close it, though no descriptor is left.

        Otherwise the client would wait until its own time limit. `OSError` if none waits.
        """
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        try:
            sock, _ = listening.accept()
            sock.close()
        finally:
            with contextlib.suppress(OSError):  # another thread was faster; next time
                self._spare = os.open(os.devnull, os.O_RDONLY)

    def close(self) -> None:
        """Close the spare descriptor."""
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
