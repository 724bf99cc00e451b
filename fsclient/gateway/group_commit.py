"""Group commit: changes of many programs that wait at the same time become one commit.

A change is answered when the commit that holds it is made and verified. A batch starts as soon as
the session is free, without a delay, and takes what is waiting then. Changes keep their order: a
batch ends before a second change of the same path. If the server does not take a batch, each of its
changes is committed alone, so that only the one at fault fails.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from fsclient.gateway.lookup import PathLookup
from fsclient.gateway.nodes import GatewayNode
from fsclient.gateway.paths import GatewayPath
from fsclient.gateway.session_pool import Worker
from fsclient.session.session import Session
from fsclient.transfer.up.batch import BATCH_BYTES, BATCH_CHANGES
from fsclient.tree.commit import Committer
from fsproto.errors import FsError, SecurityError, Unreachable


class Change(Protocol):
    """One change to an entry of a folder."""

    @property
    def place(self) -> GatewayPath:
        """The path of the entry."""

    def draft(self, session: Session, changes: Committer) -> GatewayNode | None:
        """Add the change to a commit; return the folder that it changes.

        None if there is nothing to change. It is called again if the batch could not be committed.
        """


class _Waiting:
    """A change, and the result that its program waits for."""

    def __init__(self, change: Change) -> None:
        self.change = change
        self.result: Future[None] = Future()
        self.folder: GatewayNode | None = None

    def draft(self, session: Session, changes: Committer) -> bool:
        """Add the change to a commit; return whether it is in it."""
        try:
            self.folder = self.change.draft(session, changes)
        except Unreachable:
            raise  # all other changes would wait for the server as well
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            self.result.set_exception(error)
            return False
        if self.folder is None:
            self.result.set_result(None)
        return self.folder is not None


class GroupCommit:
    """The queue of changes of one session; any thread may add to it."""

    def __init__(self, worker: Worker, walker: PathLookup) -> None:
        self._worker = worker
        self._walker = walker
        self._lock = threading.Lock()
        self._queue: deque[_Waiting] = deque()
        self._runs = False

    def do(self, change: Change) -> None:
        """Commit a change, together with others that wait; raise the error of this change."""
        waiting = _Waiting(change)
        with self._lock:
            self._queue.append(waiting)
            starts, self._runs = not self._runs, True
        if starts:
            self._start()
        waiting.result.result()

    def _start(self) -> None:
        self._worker.start(self._run).add_done_callback(self._ended)

    def _ended(self, run: Future[None]) -> None:
        """Start the next batch; if there is no session, fail what waits for it."""
        error = run.exception()
        if error is not None:
            self._fail(self._take_all(), error)
        with self._lock:
            starts = self._runs = bool(self._queue)
        if starts:
            self._start()

    def _take_all(self) -> list[_Waiting]:
        with self._lock:
            waiting = list(self._queue)
            self._queue.clear()
        return waiting

    def _fail(self, batch: Sequence[_Waiting], error: BaseException) -> None:
        for waiting in batch:
            if not waiting.result.done():
                waiting.result.set_exception(error)

    # --- in the session's thread

    def _run(self, session: Session) -> None:
        """Commit one batch."""
        batch: list[_Waiting] = []
        try:
            self._commit_batch(session, batch)
        except Unreachable as error:  # what waits has waited for the server as long
            self._fail([*batch, *self._take_all()], error)
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            self._fail(batch, error)

    def _commit_batch(self, session: Session, batch: list[_Waiting]) -> None:
        begun_s, changes = self._walker.now_s(), Committer(session.tree)
        places: set[GatewayPath] = set()
        while (waiting := self._next(places, changes)) is not None:
            batch.append(waiting)
            if not waiting.draft(session, changes):
                batch.pop()
        try:
            self._commit(session, changes, batch, begun_s)
        except (SecurityError, Unreachable):
            raise
        except FsError:
            self._commit_each(session, batch)

    def _next(self, places: set[GatewayPath], changes: Committer) -> _Waiting | None:
        """Take the next change of the queue; None if the batch must end before it."""
        with self._lock:
            if not self._queue or len(changes) >= BATCH_CHANGES or changes.size > BATCH_BYTES:
                return None
            place = self._queue[0].change.place
            if place in places:
                return None
            places.add(place)
            return self._queue.popleft()

    def _commit_each(self, session: Session, batch: Sequence[_Waiting]) -> None:
        """Commit each change alone, on what the server says now."""
        for waiting in batch:
            self._walker.forget(waiting.change.place)
            begun_s, changes = self._walker.now_s(), Committer(session.tree)
            if not waiting.draft(session, changes):
                continue
            try:
                self._commit(session, changes, [waiting], begun_s)
            except (SecurityError, Unreachable):
                raise
            except FsError as error:
                self._walker.forget(waiting.change.place)
                waiting.result.set_exception(error)

    def _commit(
        self, session: Session, changes: Committer, batch: Sequence[_Waiting], begun_s: float
    ) -> None:
        """Commit; answer the changes of the batch, in their order."""
        made = changes.commit()
        folders = {one.folder.place: one.folder.folder() for one in batch if one.folder is not None}
        try:
            self._walker.committed(session, made, folders, begun_s)
        except FsError:  # the next lookup asks the server and says what is wrong
            self._walker.forget_all()
        for waiting in batch:
            waiting.result.set_result(None)
