"""Sessions with the server; each has its own thread, and only that thread uses it.

A connection, a tree and the files with seen versions belong to one thread. One worker does lookups
and changes; other workers, started on demand, transfer content concurrently, so that a lookup
does not wait behind a large file.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from fsclient.connection.retry import Reconnecting, Timeouts
from fsclient.gateway.read_memory import ReadMemory
from fsclient.session.login import SessionOpener
from fsclient.session.session import Session
from fsclient.ui import Ui
from fsproto.errors import FsError, LoginRefused, Unreachable

T = TypeVar("T")

MOVERS = 8
"""The most workers that transfer content."""
GIVE_UP_S = 20.0
"""Seconds without the server before a request fails: programs do not wait for minutes. The same for
an answer of a server that has stopped, before the client tries to connect again."""


class SessionFactory:
    """A factory that opens and reconnects sessions; any thread may call."""

    def __init__(
        self, keeper: SessionOpener, ui: Ui, patience: Timeouts, *, computes: bool
    ) -> None:
        """Store how to log in.

        `computes` says that one-time passwords are computed from a file, so that an ended session
        is replaced without the user. Otherwise the user logs in, and the gateway resumes.
        """
        self._keeper = keeper
        self._ui = ui
        self._patience = replace(
            patience,
            silence_s=min(patience.silence_s, GIVE_UP_S),
            give_up_s=min(patience.give_up_s, GIVE_UP_S),
        )
        keeper.wait_less(self._patience)
        self._computes = computes
        self._one_at_a_time = threading.Lock()

    def open(self) -> Session:
        """Return a new session over its own connection."""
        with self._one_at_a_time:
            try:
                session = self._keeper.resume()
            except LoginRefused:
                if not self._computes:
                    raise _ended() from None
                session = self._keeper.open()
        again = partial(self.reconnect, session)
        where = session.facts.link.address
        session.retry_with(Reconnecting(again, where, self._ui, self._patience))
        return session.caching()

    def reconnect(self, session: Session) -> None:
        """Replace a session's connection that no longer works."""
        with self._one_at_a_time:
            if self._computes:
                self._keeper.renew(session)
                return
            try:
                self._keeper.reconnect(session)
            except LoginRefused:
                raise _ended() from None


class Worker:
    """One session and its thread; both start with the first task."""

    def __init__(self, sessions: SessionFactory, name: str) -> None:
        self._sessions = sessions
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._session: Session | None = None
        self._lost: Unreachable | None = None
        self._lost_s = 0.0
        """When the worker last gave up to reach the server."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def start(self, work: Callable[[Session], T]) -> Future[T]:
        """Add a task to the worker's queue; return a future of its result."""
        result: Future[T] = Future()
        asked_s = time.monotonic()

        def do() -> None:
            try:
                result.set_result(self._done(work, asked_s))
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                result.set_exception(error)

        self._work.put(do)
        return result

    def do(self, work: Callable[[Session], T]) -> T:
        """Run a task and return its result."""
        return self.start(work).result()

    def close(self) -> None:
        """Close the session after the running tasks."""
        self._work.put(None)
        self._thread.join(GIVE_UP_S)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
        if self._session is not None:
            self._session.close()

    def _done(self, work: Callable[[Session], T], asked_s: float) -> T:
        """Do a task; fail at once if the server was given up while the task waited."""
        if self._lost is not None and asked_s < self._lost_s:
            raise self._lost
        try:
            session = self._ready()
            session.context.places.start_command()
            return work(session)
        except Unreachable as lost:
            self._lost, self._lost_s = lost, time.monotonic()
            raise

    def _ready(self) -> Session:
        """Return the connected session: the server closes idle connections."""
        session = self._session
        if session is None:
            session = self._session = self._sessions.open()
        elif not session.connection.at_rest:
            try:
                self._sessions.reconnect(session)
            except Unreachable as lost:
                session.retry.recover(lost)
        return session


class SessionPool:
    """All workers of one gateway."""

    def __init__(self, sessions: SessionFactory) -> None:
        self._sessions = sessions
        self.tree = Worker(sessions, "tree")
        self.memory = ReadMemory()
        self._free: list[Worker] = []
        self._movers: list[Worker] = []
        self._change = threading.Condition()

    def take(self) -> Worker:
        """Return a worker to transfer content, for exclusive use; wait until one is free."""
        with self._change:
            while (worker := self._found()) is None:
                self._change.wait()
        return worker

    def take_free(self) -> Worker | None:
        """Return such a worker if one is free now and others remain."""
        with self._change:
            if len(self._movers) - len(self._free) >= MOVERS // 2:
                return None
            return self._found()

    def _found(self) -> Worker | None:
        if self._free:
            return self._free.pop()
        if len(self._movers) >= MOVERS:
            return None
        worker = Worker(self._sessions, f"mover-{len(self._movers) + 1}")
        self._movers.append(worker)
        return worker

    def give_back(self, worker: Worker) -> None:
        """Return a worker to the pool."""
        with self._change:
            self._free.append(worker)
            self._change.notify()

    @property
    def crowded(self) -> bool:
        """Return whether all of them are in use."""
        with self._change:
            return not self._free and len(self._movers) >= MOVERS

    def close(self) -> None:
        """Close all sessions."""
        for worker in (self.tree, *self._movers):
            with suppress(FsError):
                worker.close()


def _ended() -> LoginRefused:
    return LoginRefused(
        "The session has ended.",
        hint="Run 'fsclient login' in another terminal; the gateway then resumes by itself.",
    )
