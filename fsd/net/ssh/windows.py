"""How many bytes SSH clients may send over their channels before the server has read them.

A large window is needed for speed over long distances, but a client may fill it and the server then
holds as much in memory. So only some channels have a large one.
"""

from __future__ import annotations

import threading
from collections import Counter

import paramiko

from fskit.ssh import widen_window

FIRST = 0
"""Bytes, from the opening of a channel until it is in use; the same as OpenSSH's."""
SMALL = 64 * 1024
"""Bytes for a channel that is in use."""
LARGE = 2 << 20
"""Bytes for a channel that is in use, if there is room; the same as OpenSSH's."""
LARGE_ONES = 10
"""Channels with a large window."""
LARGE_ONES_OF_ONE = 3
"""The same of one user."""


class Windows:
    """The large windows, and whose they are; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._large: dict[paramiko.Channel, int] = {}

    def widen(self, channel: paramiko.Channel, user_id: int) -> None:
        """Give the window of a channel that is now in use its final size."""
        with self._lock:
            of_one = Counter(self._large.values())[user_id]
            is_large = len(self._large) < LARGE_ONES and of_one < LARGE_ONES_OF_ONE
            if is_large:
                self._large[channel] = user_id
        widen_window(channel, LARGE if is_large else SMALL)

    def leave(self, channel: paramiko.Channel) -> None:
        """Leave the room of a closed channel to others."""
        with self._lock:
            self._large.pop(channel, None)
