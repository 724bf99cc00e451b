"""Threads that take work off another one's hands, as long as one of them has nothing to do."""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Semaphore
from typing import TypeVar

T = TypeVar("T")


class IdleWorkers:
    """A few threads, for cores that would be idle while one thread does one thing after another.

    Work never waits for them: where none is free, whoever has it does it. So they share the work of
    a few transfers among the cores, and cost nothing where many transfers keep all of them busy.
    """

    def __init__(self, count: int) -> None:
        """Take how many; with 0 none is ever free."""
        self._free = Semaphore(count)
        self._pool = ThreadPoolExecutor(max(count, 1), thread_name_prefix="fsd-spare")

    @classmethod
    def of_this_machine(cls) -> IdleWorkers:
        """Return as many as this process may use cores beside the one of whoever has work."""
        if hasattr(os, "sched_getaffinity"):
            return cls(len(os.sched_getaffinity(0)) - 1)
        return cls((os.cpu_count() or 1) - 1)

    def lend(self, work: Callable[..., T], *args: object) -> Future[T] | None:
        """Begin `work(*args)`, with what is known for the logs; None if no thread is free."""
        if not self._free.acquire(blocking=False):
            return None
        return self._pool.submit(self._work, contextvars.copy_context().run, work, *args)

    def beside(self, work: Callable[[], T], more: Callable[[], object]) -> T:
        """Do `more`, and `work` at the same time if a thread is free, else behind it.

        Return what `work` returns. Both have ended when this returns, and when it raises.
        """
        done = self.lend(work)
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
            self._free.release()  # before the result is there: who waits for it may have more work

    def close(self) -> None:
        """Let them go, once they have done what they began."""
        self._pool.shutdown()
