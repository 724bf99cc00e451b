"""Races: several clients do the same at the same moment, and the successful ones are counted."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache
from multiprocessing.context import ForkServerContext, SpawnContext

from fsd.services.login.login import LoginService
from fsd.store.engine import Database
from fsproto.errors import FsError, LoginRefused
from tests.support.services import accounts

RACERS = 20


def winners(
    attempt: Callable[[int], object],
    racers: range = range(RACERS),
    *,
    start: Callable[[], object] = lambda: None,
    refusal: type[FsError] | tuple[type[FsError], ...] = LoginRefused,
) -> int:
    """Have a thread for each racer make its attempt, all at once; return how many succeeded.

    `start` is called when the threads exist, just before they are released.
    """
    ready = threading.Barrier(len(racers) + 1)

    def race(number: int) -> bool:
        ready.wait()
        try:
            attempt(number)
        except refusal:
            return False
        return True

    with ThreadPoolExecutor(len(racers)) as pool:
        running = [pool.submit(race, number) for number in racers]
        start()
        ready.wait()
        return sum(each.result() for each in running)


def entrants(
    url: str,
    now_ms: int,
    enter: Callable[[LoginService, str], object],
    racers: range = range(RACERS),
    start: Callable[[], object] = lambda: None,
) -> int:
    """Have the racers log in through a service of this process; return how many succeeded.

    `enter` receives the service and an address. Each racer has its own address, so that the code
    decides the result and not the throttle.
    """
    with closing(Database(url)) as database:
        service = accounts(database, lambda: now_ms)
        return winners(lambda number: enter(service, f"192.0.2.{number}"), racers, start=start)


@cache
def fresh_processes() -> ForkServerContext | SpawnContext:
    """Return how processes are started: forked from a process with the modules, if possible.

    That process has imported the modules, but has no thread, lock or open file of the tests.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", __name__])
    return context


def winners_in_processes(count: int, run: Callable[..., None], *args: object) -> int:
    """Distribute the racers over processes; return how many succeeded in all of them.

    `run` receives the arguments, its racers, a function that waits for the start, and a queue for
    the number of its successes.
    """
    processes = fresh_processes()
    start, won = processes.Barrier(count), processes.SimpleQueue()
    each = RACERS // count
    running = [
        processes.Process(
            target=run, args=(*args, range(number * each, (number + 1) * each), start.wait, won)
        )
        for number in range(count)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * count
    return sum(won.get() for _ in running)
