"""The handling of a lost connection: the transfer ends, or resumes over a new connection."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from msgspec.structs import replace

from fsclient.ui import Ui
from fsproto.errors import ConnectionLost, FsError, LoginRefused, Unreachable, VersionMismatchError
from fsproto.values import Value

T = TypeVar("T")

WORTH_KEEPING = 4 << 20
"""Bytes; of smaller files nothing is kept, as it takes no longer to send them again."""


_TRIES_AGAIN = 3


class Timeouts(Value, frozen=True):
    """How long the client waits for what, in seconds."""

    connect_s: float = 10.0
    """For the server to be reached, and for its first word."""
    via_s: float = 180.0
    """The same where a program carries the connection, which may ask for a password or code."""
    silence_s: float = 60.0
    """Without a byte from the server while it owes some."""
    frame_s: float = 600.0
    """For one message, from its first byte to its last, and for slow answers."""
    give_up_s: float = 60.0
    """From the loss of a connection until the client stops reconnecting; 0: it never reconnects."""
    first_pause_s: float = 0.25
    longest_pause_s: float = 8.0
    """The longest pause between two attempts to connect; each pause is twice the previous one."""


def can_go_on(error: FsError) -> bool:
    """Return whether a new connection or login could resume the work that an error ended."""
    return error.is_final or isinstance(error, Unreachable | LoginRefused)


class Backoff:
    """Growing pauses between attempts to reach a server; each is twice the last."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        """Take the first pause and the longest one, in seconds."""
        self._first_s = self._next_s = first_s
        self._longest_s = longest_s

    @property
    def is_at_start(self) -> bool:
        """Whether the next pause is the first one."""
        return self._next_s == self._first_s

    def reset(self) -> None:
        """Start with the first pause again."""
        self._next_s = self._first_s

    def next_s(self) -> float:
        """Return the next pause in seconds, shortened by up to half.

        Clients that lost their connections at the same moment must not all reconnect at once.
        """
        pause_s = self._next_s * random.uniform(0.5, 1.0)  # noqa: S311
        self._next_s = min(2 * self._next_s, self._longest_s)
        return pause_s


def try_again(work: Callable[[], T], loss: type[Unreachable], patience: Timeouts) -> T:
    """Run work at the start of a command, and a few more times after a loss of its connection.

    So a command starts although a balancer has just ended the connections to a node that is down.
    `work` is safe to repeat.
    """
    pauses = Backoff(patience.first_pause_s, patience.longest_pause_s)
    for _ in range(_TRIES_AGAIN if patience.give_up_s else 0):
        with suppress(loss):
            return work()
        time.sleep(pauses.next_s())
    return work()


class NoRetry:
    """Fails when the connection is lost; the base class of `Reconnecting`."""

    resumes = False
    """Whether client and server keep interrupted transfers, so that they can be resumed."""
    unfinished = False
    """Whether an interrupted transfer was kept, so that the same command resumes it."""

    def __init__(self, *, briefly: Callable[[], None] | None = None) -> None:
        """`briefly` replaces the connection within a few seconds, without a question."""
        self._briefly = briefly

    def run(self, work: Callable[[], T]) -> T:
        """Run work that is safe to repeat any number of times, such as a query."""
        return work()

    def recover(self, lost: Unreachable) -> None:
        """Open a new connection, which has no state of earlier requests; raise if that fails."""
        raise lost

    def reconnect_briefly(self) -> None:
        """Replace the connection of an interrupted command, for its last requests.

        Raise an error if that is impossible. From now on, a lost connection is final.
        """
        if self._briefly is None:
            raise ConnectionLost
        self._briefly()

    def progressed(self) -> None:
        """Note progress; the next loss of the connection gets the full time again."""


class Reconnecting(NoRetry):
    """Reconnects and logs in again until there was no progress for `give_up_s`."""

    resumes = True

    def __init__(
        self,
        reconnect: Callable[[], None],
        where: object,
        ui: Ui,
        patience: Timeouts,
        *,
        briefly: Callable[[], None] | None = None,
    ) -> None:
        """Initialise; `reconnect` replaces the connection, `where` is the server's name.

        `briefly` is as for `NoRetry`.
        """
        super().__init__(briefly=briefly)
        self._reconnect = reconnect
        self._where = where
        self._ui = ui
        self._patience = patience
        self._since: float | None = None
        self._pauses = Backoff(patience.first_pause_s, patience.longest_pause_s)

    def run(self, work: Callable[[], T]) -> T:
        """Run work; if the connection is lost, run it again over a new connection."""
        while True:
            try:
                done = work()
            except Unreachable as lost:
                self.recover(lost)
                continue
            self.progressed()
            return done

    def recover(self, lost: Unreachable) -> None:
        """Open a new connection, which has no state of earlier requests; raise if that fails.

        An error of the login, such as `LoginRefused` or `HostKeyError`, is final.
        """
        news = self._since is None
        if self._since is None:
            self._since = time.monotonic()
            self._pauses.reset()
        ends = self._since + self._patience.give_up_s
        while time.monotonic() < ends and not isinstance(lost, VersionMismatchError):
            if news:
                self._ui.warn(f"The connection to {self._where} was lost; connecting again …")
                news = False
            time.sleep(min(self._pauses.next_s(), max(0.0, ends - time.monotonic())))
            try:
                self._reconnect()
            except Unreachable as still:
                lost = still
            except FsError as error:  # without a session, no other file succeeds either
                error.is_final = True
                raise
            else:
                self._ui.say(f"Connected to {self._where} again.")
                return
        raise lost

    def progressed(self) -> None:
        """Note progress; the next loss of the connection gets the full time again."""
        self._since = None

    def reconnect_briefly(self) -> None:
        """Replace the connection of an interrupted command, for its last requests.

        Raise an error if that is impossible. From now on, a lost connection is final.
        """
        if self._since is not None:  # the connection was lost before
            raise ConnectionLost
        self._patience = replace(self._patience, give_up_s=0.0)
        super().reconnect_briefly()
