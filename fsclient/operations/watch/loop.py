"""The watch: a sync, and the next one as soon as something may have changed.

Each sync is a whole one with its own session, so the watch remembers nothing that could be wrong.
It prints what a sync has done, and each problem once: until that problem is over, it waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fsclient.app import App
from fsclient.connection.retry import Backoff
from fsclient.operations.watch.local import LocalChanges
from fsclient.operations.watch.news import News
from fsclient.operations.watch.server import ServerChanges
from fsclient.operations.watch.troubles import (
    AFTER_ERROR_S,
    UNREACHABLE_HINT,
    UNREACHABLE_PAUSES_S,
    Troubles,
)
from fsproto.errors import (
    FsError,
    LoginRefused,
    LoginRequired,
    SecurityError,
    Unreachable,
    UsageError,
)
from fsproto.types import NodeId

QUIET_S, MOST_S = 0.5, 10.0
"""A sync starts after this time without a change, and after the second at the latest."""
EVERY_S = 300.0
"""Seconds after which both sides are compared without a report of a change."""
EVERY_UNWATCHED_S = 60.0
"""The same if the system cannot watch the local folder."""


class WatchLoop:
    """Runs syncs until the user or an alarm ends it."""

    def __init__(self, app: App, news: News, once: Callable[[], NodeId | None]) -> None:
        """`once` runs a sync, and returns the remote folder if that is known."""
        self._app = app
        self._news = news
        self._once = once
        self._every_s = EVERY_S
        self._troubles = Troubles(app)

    def unwatched(self, reason: str) -> None:
        """Compare more often: the system cannot watch the local folder. For any thread."""
        self._every_s = EVERY_UNWATCHED_S
        self._app.ui.warn(
            f"The local folder cannot be watched ({reason}); it is compared every "
            f"{EVERY_UNWATCHED_S:.0f} seconds."
        )
        self._news.note()

    def run(self, local: LocalChanges, server: ServerChanges | None) -> None:
        """Run; only an error ends it."""
        local.start()
        if server is not None:
            server.start()
        pauses, is_first = Backoff(*UNREACHABLE_PAUSES_S), True
        while True:
            self._news.clear()
            wait_s = self._every_s
            try:
                folder = self._once()
            except (SecurityError, UsageError):
                raise
            except Unreachable as error:
                self._troubles.tell(error, UNREACHABLE_HINT)
                time.sleep(pauses.next_s())
                continue
            except (LoginRefused, LoginRequired) as error:
                self._troubles.wait_for_session(error)
                continue
            except FsError as error:
                if is_first:
                    raise
                self._troubles.tell(error, error.hint)
                wait_s = AFTER_ERROR_S
            else:
                self._troubles.over()
                if server is not None:
                    server.watch(folder)
                self._app.options.unattended = True
            pauses.reset()
            is_first = False
            if self._news.wait(wait_s):
                self._news.settle(QUIET_S, MOST_S)
