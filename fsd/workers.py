"""Pools of threads: those that always run, and spare ones that take over work while idle."""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from threading import Barrier, Semaphore
from typing import TypeVar

T = TypeVar("T")


def started_pool(count: int, name: str) -> ThreadPoolExecutor:
    """Return a pool whose threads run from the start; `MemoryError` if they cannot be started.

    Otherwise a request could need a new thread, which a machine that is short of memory refuses.
    """
    pool = ThreadPoolExecutor(max_workers=count, thread_name_prefix=name)
    all_of_them = Barrier(count)
    try:
        wait([pool.submit(all_of_them.wait) for _ in range(count)])
    except RuntimeError as error:
        all_of_them.abort()
        pool.shutdown(wait=False)
        raise MemoryError(f"no {count} threads can be started") from error
    return pool


async def run_in(pool: Executor, work: Callable[..., T], *args: object) -> T:
    """Run some work in a thread of a pool, and return its result.

    The logs of the work show the connection and the request of the caller.
    """
    run = contextvars.copy_context().run
    return await asyncio.get_running_loop().run_in_executor(pool, run, work, *args)


class IdleWorkers:
    """A few threads for cores that are idle while another thread works sequentially.

    Work never waits for them: if none is free, the caller does the work itself. So they spread a
    few transfers over the cores, and cost nothing when many transfers keep all cores busy.
    """

    def __init__(self, count: int) -> None:
        """Take the number of threads; with 0 none is ever free."""
        self._free = Semaphore(count)
        self._pool = started_pool(count, "fsd-spare") if count else None

    @classmethod
    def of_this_machine(cls) -> IdleWorkers:
        """Return one thread fewer than the number of cores that this process may use."""
        if hasattr(os, "sched_getaffinity"):
            return cls(len(os.sched_getaffinity(0)) - 1)
        return cls((os.cpu_count() or 1) - 1)

    def try_submit(self, work: Callable[..., T], *args: object) -> Future[T] | None:
        """Start `work(*args)` with the context of the logs; None if no thread is free."""
        if self._pool is None or not self._free.acquire(blocking=False):
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
        if self._pool is not None:
            self._pool.shutdown()
