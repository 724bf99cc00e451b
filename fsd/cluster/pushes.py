"""Notices between the nodes of one PostgreSQL database: whose trees have changed, and new keys.

A notice of a tree is sent after the commit, on a connection of its own: PostgreSQL makes commits
that notify wait for each other. The transaction that stores a key sends the notice of it. A notice
may be lost with its node or connection, so nothing depends on it: watches also look regularly
(`fsd.net.watching`), and so do nodes for keys (`fsd.server`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from fsd.store.repos.cluster import CHANNEL, NEW_KEYS
from fsproto.errors import FsError

if TYPE_CHECKING:
    from fsd.store.engine import Database

log = logging.getLogger(__name__)

_ALL = "*"
_LONGEST = 4000
"""Bytes of a notice; PostgreSQL allows 7,999."""
_AGAIN_S = 2.0
"""Seconds before a lost connection is made again."""

Heard = Callable[[Collection[int] | None], None]
"""Called with the payers whose trees have changed; None: those of anybody may have."""


class Pushes:
    """The notices that one node sends and hears."""

    def __init__(
        self, database: Database, heard: Heard, new_keys: Callable[[], None] = lambda: None
    ) -> None:
        """Take the database, and what is called with notices of trees and of keys, in a thread."""
        self._database = database
        self._heard = heard
        self._new_keys = new_keys
        self._lock = threading.Lock()
        self._unsent: set[int] = set()
        self._closed = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._thread = threading.Thread(target=self._run, name="fsd-pushes", daemon=True)

    def start(self) -> None:
        """Connect and listen, in a thread."""
        self._thread.start()

    def send(self, payers: Collection[int]) -> None:
        """Tell the other nodes soon; return at once. Any thread may call it."""
        with self._lock:
            self._unsent.update(payers)
        self._wake()

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        self._wake()
        self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it is full, so the thread will wake
            os.write(self._wake_write, b"!")

    # --- in the thread

    def _run(self) -> None:
        import psycopg

        while not self._closed.is_set():
            try:
                with contextlib.closing(self._database.own_connection()) as connection:
                    self._follow(connection)
            except (FsError, psycopg.Error, OSError) as error:
                log.debug("notices of other nodes are not heard: %s", type(error).__name__)
                self._closed.wait(_AGAIN_S)

    def _follow(self, connection: Any) -> None:  # noqa: ANN401 - psycopg is loaded late
        connection.autocommit = True
        connection.add_notify_handler(lambda notice: self._hear(notice.payload))
        connection.execute("SET synchronous_commit = off")
        connection.execute(f"LISTEN {CHANNEL}")
        self._heard(None)  # earlier notices were missed
        self._new_keys()
        while not self._closed.is_set():
            select.select([connection.fileno(), self._wake_read], [], [])
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_read, 4096)
            self._send_all(connection)
            connection.pgconn.consume_input()
            while (notice := connection.pgconn.notifies()) is not None:
                self._hear(notice.extra.decode())

    def _send_all(self, connection: Any) -> None:  # noqa: ANN401
        with self._lock:
            payers, self._unsent = self._unsent, set()
        if not payers:
            return
        text = ",".join(map(str, sorted(payers)))
        text = text if len(text) <= _LONGEST else _ALL
        try:
            connection.execute("SELECT pg_notify(%s, %s)", [CHANNEL, text])
        except BaseException:
            with self._lock:
                self._unsent |= payers  # for the next connection
            raise

    def _hear(self, payload: str) -> None:
        if payload == NEW_KEYS:
            self._new_keys()
            return
        if payload == _ALL:
            self._heard(None)
            return
        with contextlib.suppress(ValueError):  # not ours
            self._heard([int(word) for word in payload.split(",")])
