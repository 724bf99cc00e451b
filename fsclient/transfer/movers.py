"""Threads with sessions of their own that transfer large files at the same time (`--jobs`)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeVar

from fsclient.connection.retry import NoRetry
from fsclient.session.session import Session

T = TypeVar("T")

_CLOSE_S = 2.0


class Movers:
    """Threads, each with one session; a session is used by its thread alone."""

    def __init__(self, count: int, open_session: Callable[[], Session]) -> None:
        """`open_session` is called in each thread, when it has something to do."""
        self.count = count
        self._open = open_session
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._mine = threading.local()
        self._sessions: set[Session] = set()

    def start(self, work: Callable[[Session], T]) -> Future[T]:
        """Do some work in the next free thread; return its result to be."""
        result: Future[T] = Future()

        def do() -> None:
            if result.set_running_or_notify_cancel():
                try:
                    result.set_result(work(self._session()))
                except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                    result.set_exception(error)

        self._work.put(do)
        if len(self._threads) < self.count:
            thread = threading.Thread(target=self._run, name="mover", daemon=True)
            self._threads.append(thread)
            thread.start()
        return result

    def close(self) -> None:
        """End the threads after their work; do not wait long for a silent server."""
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join(_CLOSE_S)

    def abort(self) -> None:
        """Cut the connections, so that all work fails now; `close` comes next."""
        for session in list(self._sessions):
            session.retry_with(NoRetry())
            session.connection.close()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            session = getattr(self._mine, "session", None)
            if session is not None and not session.connection.usable:
                self._drop(session)
        session = getattr(self._mine, "session", None)
        if session is not None:
            self._drop(session)

    def _session(self) -> Session:
        session: Session | None = getattr(self._mine, "session", None)
        if session is None:
            session = self._mine.session = self._open()
            self._sessions.add(session)
        return session

    def _drop(self, session: Session) -> None:
        self._mine.session = None
        self._sessions.discard(session)
        with suppress(OSError):
            session.close()
