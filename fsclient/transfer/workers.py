"""Worker threads of a transfer, started on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

P = ParamSpec("P")
T = TypeVar("T")


class WorkerPool:
    """A thread pool that starts on first use; small files need no threads."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, work: Callable[P, T], *args: P.args, **more: P.kwargs) -> Future[T]:
        """Run a function in a thread and return its future."""
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._count, thread_name_prefix=self._name)
        return self._pool.submit(work, *args, **more)

    def close(self) -> None:
        """Stop the threads and cancel queued work, without waiting."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
