"""What the watch is told by other threads: that something may have changed, or an alarm."""

from __future__ import annotations

import threading
import time

from fsproto.errors import FsError


class News:
    """A flag that several threads set and one waits for."""

    def __init__(self) -> None:
        self._came = threading.Event()
        self._alarm: FsError | None = None

    def note(self) -> None:
        """Note that something may have changed."""
        self._came.set()

    def alarm(self, error: FsError) -> None:
        """Note an error that ends the watch."""
        self._alarm = error
        self._came.set()

    def clear(self) -> None:
        """Forget the news, just before what may have changed is read."""
        self._came.clear()
        self._raise()

    def wait(self, for_s: float) -> bool:
        """Wait for news, at most for a time; return whether there is any. Raise an alarm."""
        came = self._came.wait(for_s)
        self._raise()
        return came

    def settle(self, quiet_s: float, most_s: float) -> None:
        """Wait until there was no news for `quiet_s`, at most `most_s`: programs write in steps."""
        ends = time.monotonic() + most_s
        while self._came.is_set() and time.monotonic() < ends:
            self._came.clear()
            self.wait(quiet_s)

    def _raise(self) -> None:
        if self._alarm is not None:
            raise self._alarm
