"""Spare threads that take over work while they are idle."""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Semaphore
from typing import TypeVar

T = TypeVar("T")


class IdleWorkers:
    """A few threads for cores that are idle while another thread works sequentially.

    Work never waits for them: if none is free, the caller does the work itself. So they spread a
    few transfers over the cores, and cost nothing when many transfers keep all cores busy.
    """

    def __init__(self, count: int) -> None:
        """Take the number of threads; with 0 none is ever free."""
        self._free = Semaphore(count)
        self._pool = ThreadPoolExecutor(max(count, 1), thread_name_prefix="fsd-spare")

    @classmethod
    def of_this_machine(cls) -> IdleWorkers:
        """Return one thread fewer than the number of cores that this process may use."""
        if hasattr(os, "sched_getaffinity"):
            return cls(len(os.sched_getaffinity(0)) - 1)
        return cls((os.cpu_count() or 1) - 1)

    def try_submit(self, work: Callable[..., T], *args: object) -> Future[T] | None:
        """Start `work(*args)` with the context of the logs; None if no thread is free."""
        if not self._free.acquire(blocking=False):
            return None
        return self._pool.submit(self._work, contextvars.copy_context().run, work, *args)

    def beside(self, work: Callable[[], T], more: Callable[[], object]) -> T:
        """Run `more`, and `work` concurrently if a thread is free, else after it.

        Return what `work` returns. Both have ended when this returns, and when it raises.
        """
        done = self.try_submit(work)
        try:
            more()
        finally:
            if done is not None:
                wait((done,))
        return work() if done is None else done.result()

    def _work(self, run: Callable[..., T], work: Callable[..., T], *args: object) -> T:
        try:
            return run(work, *args)
        finally:
            self._free.release()  # before the result: a caller that waits for it may have more work

    def close(self) -> None:
        """Stop the threads after their current work."""
        self._pool.shutdown()
