"""Pools of threads: those that run from the start, and spare ones that work while idle."""

from __future__ import annotations

import sys
import threading
from contextvars import ContextVar
from hashlib import sha256
from pathlib import Path
from threading import Event, get_ident

import pytest

from fsd.workers import IdleWorkers, started_pool
from tests.support.confined import in_child

known: ContextVar[str] = ContextVar("known", default="nothing")


def test_work_is_lent_to_as_many_as_there_are() -> None:
    spare, go_on = IdleWorkers(2), Event()
    lent = [spare.try_submit(go_on.wait) for _ in range(3)]
    assert lent[2] is None
    go_on.set()
    assert [one.result() for one in lent if one] == [True, True]
    spare.close()


def test_who_has_a_result_may_lend_again() -> None:
    spare = IdleWorkers(1)
    for number in range(1000):
        done = spare.try_submit(int, number)
        assert done is not None
        assert done.result() == number
    spare.close()


def test_a_failure_is_the_result_and_its_thread_is_free_again() -> None:
    spare = IdleWorkers(1)
    for _ in range(3):
        done = spare.try_submit(int, "no number")
        assert done is not None
        with pytest.raises(ValueError, match="no number"):
            done.result()
    spare.close()


def test_work_knows_what_its_lender_knows() -> None:
    spare = IdleWorkers(1)
    known.set("the connection")
    done = spare.try_submit(known.get)
    assert done is not None
    assert done.result() == "the connection"
    spare.close()


@pytest.mark.parametrize("count", [0, 1])
def test_two_things_are_done_beside_each_other_or_one_behind_the_other(count: int) -> None:
    spare = IdleWorkers(count)
    where: list[int] = []
    assert spare.beside(get_ident, lambda: where.append(get_ident())) != where[0] or not count
    assert where == [get_ident()]
    spare.close()


@pytest.mark.parametrize("count", [0, 1])
def test_work_has_ended_when_what_was_done_beside_it_fails(count: int) -> None:
    spare, started, done = IdleWorkers(count), Event(), Event()

    def work() -> None:
        started.set()
        sha256(bytes(1 << 25)).digest()  # takes longer than the failure
        done.set()

    def fail() -> None:
        if count:
            started.wait()
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        spare.beside(work, fail)
    assert done.is_set() == bool(count)
    spare.close()


def threads_named(name: str) -> int:
    return sum(thread.name.startswith(name) for thread in threading.enumerate())


def test_all_threads_of_a_pool_run_from_the_start() -> None:
    pool = started_pool(5, "test-pool")
    assert threads_named("test-pool") == 5
    pool.shutdown()


@pytest.mark.skipif(sys.platform != "linux", reason="memory cannot be limited here")
def test_a_pool_whose_threads_cannot_be_started_leaves_none() -> None:
    import resource

    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + (100 << 20)  # a thread reserves 8 MiB
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))

    def start() -> int:
        with pytest.raises(MemoryError):
            started_pool(500, "test-pool")
        for thread in threading.enumerate():
            if thread.name.startswith("test-pool"):
                thread.join()
        return threads_named("test-pool")

    assert in_child(limit, start) == 0
