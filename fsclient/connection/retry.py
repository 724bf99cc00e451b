"""What becomes of a transfer whose connection is lost: it ends, or it goes on over a new one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from fsclient.ui import Ui
from fsproto.errors import FsError, LoginRefused, Unreachable, VersionMismatchError
from fsproto.values import Value

T = TypeVar("T")

WORTH_KEEPING = 4 << 20
"""Bytes; of smaller files nothing is kept, as it takes no longer to send them again."""


class Timeouts(Value, frozen=True):
    """How long the client waits for what, in seconds."""

    connect_s: float = 10.0
    """For the server to be reached, and for its first word."""
    via_s: float = 180.0
    """The same where a program carries the connection, which may ask for a password or code."""
    silence_s: float = 60.0
    """Without a byte from the server while it owes some."""
    frame_s: float = 600.0
    """For one message to come or go, from its first byte to its last; for the slowest answers."""
    give_up_s: float = 60.0
    """From the loss of a connection until nothing more is tried; 0 tries nothing."""
    first_pause_s: float = 0.25
    longest_pause_s: float = 8.0
    """Between two attempts to connect; each pause is twice the one before."""


def can_go_on(error: FsError) -> bool:
    """Tell whether what an error has ended would go on with another connection or login."""
    return isinstance(error, Unreachable | LoginRefused)


class NoRetry:
    """Ends with the first connection that is lost; what all other transfers build on."""

    resumes = False
    """Whether what is broken off is kept, at either end, to be gone on with."""
    unfinished = False
    """Whether something was kept, so that the same command goes on where this one stopped."""

    def run(self, work: Callable[[], T]) -> T:
        """Do something that may be done again as often as need be, such as asking a question."""
        return work()

    def recover(self, lost: Unreachable) -> None:
        """Return with a new connection, which knows nothing of earlier requests; or raise."""
        raise lost

    def progressed(self) -> None:
        """Note that the connection was of use: the next loss is another one."""


class Reconnecting(NoRetry):
    """Connects and logs in anew, again and again, until nothing has moved for too long."""

    resumes = True

    def __init__(
        self, reconnect: Callable[[], None], where: object, ui: Ui, patience: Timeouts
    ) -> None:
        """Take what connects anew in place, the server's name, and whom to tell."""
        self._reconnect = reconnect
        self._where = where
        self._ui = ui
        self._patience = patience
        self._since: float | None = None
        self._pause_s = patience.first_pause_s

    def run(self, work: Callable[[], T]) -> T:
        """Do something; if the connection is lost meanwhile, do it again over a new one."""
        while True:
            try:
                done = work()
            except Unreachable as lost:
                self.recover(lost)
                continue
            self.progressed()
            return done

    def recover(self, lost: Unreachable) -> None:
        """Return with a new connection, which knows nothing of earlier requests; or raise."""
        news = self._since is None
        if self._since is None:
            self._since = time.monotonic()
            self._pause_s = self._patience.first_pause_s
        ends = self._since + self._patience.give_up_s
        while time.monotonic() < ends and not isinstance(lost, VersionMismatchError):
            if news:
                self._ui.warn(f"The connection to {self._where} was lost; connecting again …")
                news = False
            # Whoever lost their connections at the same moment does not come back at the same one.
            pause_s = self._pause_s * random.uniform(0.5, 1.0)  # noqa: S311
            self._pause_s = min(2 * self._pause_s, self._patience.longest_pause_s)
            time.sleep(min(pause_s, max(0.0, ends - time.monotonic())))
            try:
                self._reconnect()
            except Unreachable as still:
                lost = still
            else:
                self._ui.say(f"Connected to {self._where} again.")
                return
        raise lost

    def progressed(self) -> None:
        """Note that the connection was of use: the next loss is another one."""
        self._since = None
