"""Watches the remote folder, in a thread with its own connection: the server reports changes.

A report is a hint, and nothing proves it: the sync that follows verifies what the server shows. A
server that reports nothing is found out by the syncs that run without a report.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

from fsclient.connection.retry import Backoff
from fsclient.operations.watch.news import News
from fsclient.operations.watch.troubles import UNREACHABLE_PAUSES_S
from fsclient.session.login import SessionOpener
from fsproto.errors import FsError, SecurityError
from fsproto.messages.files import Changed, Watch
from fsproto.types import NodeId

WAIT_S = 45
"""Seconds after which the server answers without a change; less than the patience of clients."""
_AT_LEAST_S = 5.0


class ServerChanges:
    """The changes under a remote folder."""

    def __init__(self, opener: SessionOpener, news: News) -> None:
        """`opener` is used in the thread alone; it must have its identity."""
        self._opener = opener
        self._news = news
        self._ready = threading.Event()
        self._folder: NodeId | None = None

    def start(self) -> None:
        """Start the thread; it ends with the program."""
        threading.Thread(target=self._run, name="server changes", daemon=True).start()

    def watch(self, folder: NodeId | None) -> None:
        """Watch this folder from now on, after a sync that has reached the server."""
        self._folder = folder
        self._ready.set()

    def _run(self) -> None:
        pauses = Backoff(*UNREACHABLE_PAUSES_S)
        while True:
            self._ready.wait()
            try:
                for changed in self._answers():
                    pauses.reset()
                    if changed:
                        self._news.note()
            except SecurityError as error:
                self._news.alarm(error)
                return
            except FsError:  # the sync tells what it is, and renews a session that has ended
                if pauses.is_at_start:
                    self._news.note()
                self._pause(pauses.next_s())

    def _pause(self, for_s: float) -> None:
        """Wait, but no longer than `_AT_LEAST_S` if a sync reaches the server."""
        self._ready.clear()
        time.sleep(min(for_s, _AT_LEAST_S))
        self._ready.wait(max(0.0, for_s - _AT_LEAST_S))
        self._ready.set()

    def _answers(self) -> Iterator[bool]:
        """Yield each answer of the server, over one connection; the first one is true."""
        with closing(self._opener.resume()) as session:
            while True:
                folder = self._folder
                if folder is None:
                    self._ready.clear()
                    return
                yield session.connection.call(Watch(folder, WAIT_S), Changed).changed
