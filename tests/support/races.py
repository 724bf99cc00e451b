"""Many who do the same at the same moment: how many of them are let in."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

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
    """Have a thread for each racer attempt it, all at once; return how many were not refused.

    `start` is called when the threads are there, just before they are let go.
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
    """Have them enter through accounts of this process's own; return how many got in.

    `enter` is given the accounts and an address. Each has an address of its own: it is the code
    that decides, not the throttle.
    """
    with closing(Database(url)) as database:
        service = accounts(database, lambda: now_ms)
        return winners(lambda number: enter(service, f"192.0.2.{number}"), racers, start=start)


def winners_in_processes(count: int, run: Callable[..., None], *args: object) -> int:
    """Part the racers among processes; return how many won in all of them.

    `run` is given the arguments, its racers, what to wait for before it lets them go, and a queue
    for how many of them won.
    """
    processes = multiprocessing.get_context("spawn")
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
