"""Several workers behind one address: forked processes that accept on the same sockets.

The supervisor binds the sockets, starts the workers, replaces a worker that ends, and passes
signals on. It has no thread and no event loop, so that a worker is a clean copy of it at any time.
A worker whose supervisor is gone stops, because the pipe to it is closed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fsd.systemd.notify import READY, STOPPING, notify, reloading

log = logging.getLogger(__name__)

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
"""Seconds before a worker that ended is started again; the wait doubles with each time."""
SETTLED_S = 60.0
"""A worker that ran for so long is started again after the shortest wait."""
_PIECE = 4096
_STOPS = (signal.SIGTERM, signal.SIGINT)

Ready = dict[str, list[str]]
"""What a worker reports when it accepts connections: its host keys."""


class Worker:
    """One worker, as it sees itself."""

    def __init__(self, number: int, report: int, alive: int, *, is_first: bool) -> None:
        """Take its number, from 0 on, its ends of the pipes, and whether it replaces no other."""
        self.number = number
        self.is_first = is_first
        self.alive = alive
        """Readable when the supervisor is gone."""
        self._report = report

    def ready(self, told: Ready) -> None:
        """Report that the worker accepts connections."""
        self._say({"ready": told})

    def reloaded(self) -> None:
        """Report that the worker has loaded its settings again."""
        self._say({"reloaded": True})

    def _say(self, what: dict[str, object]) -> None:
        with contextlib.suppress(OSError):  # the supervisor is gone
            os.write(self._report, json.dumps(what).encode() + b"\n")


@dataclass
class _Place:
    """The place of one worker: its process now, or when the next one starts."""

    number: int
    pid: int | None = None
    reports: int = -1
    """The read end of its pipe."""
    heard: bytes = b""
    is_ready: bool = False
    started_s: float = 0.0
    wait_s: float = FIRST_WAIT_S
    start_at_s: float = 0.0
    reloads: int = 0
    """How many reloads it has not reported yet."""
    starts: int = 0
    missed_reload: bool = False
    """Whether the settings were to be loaded again while it started."""
    told: Ready = field(default_factory=dict)


class Supervisor:
    """The parent of the workers."""

    def __init__(
        self, count: int, ready: Callable[[Ready], None], stopping: Callable[[], None]
    ) -> None:
        """Take the number of workers.

        `ready` is called once, when all of them accept; `stopping`, when no new one will start.
        """
        self._at_stop = stopping
        self._places = [_Place(number) for number in range(count)]
        self._ready = ready
        self._was_ready = False
        self._stopping = False
        self._status = 0
        self._wake_read, self._wake_write = os.pipe()
        self._alive_read, self._alive_write = os.pipe()
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end, False)

    def run(self) -> Worker | int:
        """Start the workers; return a `Worker` in each of them.

        In the supervisor, return an exit status after all of them have ended: 0, or that of a
        worker that could not start at all.
        """
        handlers = {number: signal.signal(number, _noted) for number in _signals()}
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        while True:
            for place in self._due():
                worker = self._start(place)
                if worker is not None:
                    signal.set_wakeup_fd(-1)
                    for number, handler in handlers.items():
                        signal.signal(number, handler)
                    signal.pthread_sigmask(signal.SIG_UNBLOCK, _signals())
                    return worker
            self._wait()
            self._reap()
            if all(place.pid is None for place in self._places) and self._stopping:
                return self._status

    # --- starting and ending

    def _due(self) -> Iterator[_Place]:
        now = time.monotonic()
        # At first one alone: if it cannot start, it says so, and the others need not.
        first_is_ready = self._was_ready or self._places[0].is_ready
        for place in self._places if first_is_ready else self._places[:1]:
            if place.pid is None and not self._stopping and place.start_at_s <= now:
                yield place

    def _start(self, place: _Place) -> Worker | None:
        """Fork; return the worker in the new process, where signals are blocked."""
        reports, report = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, _signals())
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            for end in (reports, self._alive_write, self._wake_read, self._wake_write):
                os.close(end)
            for other in self._places:
                if other.pid is not None:
                    os.close(other.reports)
            return Worker(place.number, report, self._alive_read, is_first=not place.starts)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _signals())
        os.close(report)
        os.set_blocking(reports, False)
        place.pid, place.reports, place.heard = pid, reports, b""
        place.is_ready, place.started_s, place.reloads = False, time.monotonic(), 0
        place.starts += 1
        return None

    def _reap(self) -> None:
        for place in self._places:
            if place.pid is None:
                continue
            pid, ended = os.waitpid(place.pid, os.WNOHANG)
            if pid:
                os.close(place.reports)
                place.pid = None
                self._ended(place, os.waitstatus_to_exitcode(ended))

    def _ended(self, place: _Place, status: int) -> None:
        self._reloaded(place, all_of_them=True)
        if self._stopping:
            return
        if not self._was_ready:  # it has said why
            self._status = status if status > 0 else 1
            self._stop()
            return
        ran_s = time.monotonic() - place.started_s
        place.wait_s = FIRST_WAIT_S if ran_s > SETTLED_S else min(LONGEST_WAIT_S, 2 * place.wait_s)
        place.start_at_s = time.monotonic() + place.wait_s
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        log.error(
            "worker %d ended %s; it starts again in %.1f s", place.number + 1, how, place.wait_s
        )

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            notify(STOPPING)
            self._at_stop()
        for place in self._places:
            if place.pid is not None:  # not waited for, so the process exists
                os.kill(place.pid, signal.SIGTERM)

    # --- what arrives

    def _wait(self) -> None:
        """Wait for a signal, a report, or the time to start a worker."""
        waits = [place.start_at_s for place in self._places if place.pid is None]
        timeout = None
        if waits and self._was_ready and not self._stopping:
            timeout = max(0.0, min(waits) - time.monotonic())
        pipes = {place.reports: place for place in self._places if place.pid is not None}
        readable, _, _ = select.select([self._wake_read, *pipes], [], [], timeout)
        for end in readable:
            if end == self._wake_read:
                self._take_signals()
            else:
                self._hear(pipes[end])

    def _take_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            numbers = os.read(self._wake_read, _PIECE)
            if any(number in numbers for number in _STOPS):
                self._stop()
            elif signal.SIGHUP in numbers:
                self._reload()

    def _reload(self) -> None:
        notify(reloading())
        for place in self._places:
            if place.pid is not None and place.is_ready:
                place.reloads += 1
                os.kill(place.pid, signal.SIGHUP)
            else:
                place.missed_reload = True
        if not any(place.reloads for place in self._places):
            notify(READY)

    def _hear(self, place: _Place) -> None:
        try:
            data = os.read(place.reports, _PIECE)
        except BlockingIOError:
            return
        *lines, place.heard = (place.heard + data).split(b"\n")
        if not data:
            self._wait_for_end(place)
        for line in lines:
            told = json.loads(line)
            if "reloaded" in told:
                self._reloaded(place)
            elif "ready" in told:
                place.is_ready, place.told = True, told["ready"]
                if place.missed_reload and place.pid is not None:
                    place.missed_reload = False
                    os.kill(place.pid, signal.SIGHUP)
                log.info("worker %d is ready", place.number + 1, extra={"count": place.pid})
        if not self._was_ready and all(each.is_ready for each in self._places):
            self._was_ready = True
            self._ready(self._places[0].told)
            notify(READY)

    def _wait_for_end(self, place: _Place) -> None:
        """Wait for a process that has closed its pipe, which it does when it ends."""
        if place.pid is not None:
            _, ended = os.waitpid(place.pid, 0)
            os.close(place.reports)
            place.pid = None
            self._ended(place, os.waitstatus_to_exitcode(ended))

    def _reloaded(self, place: _Place, *, all_of_them: bool = False) -> None:
        if not place.reloads:
            return
        place.reloads = 0 if all_of_them else place.reloads - 1
        if not any(each.reloads for each in self._places):
            notify(READY)


def _signals() -> tuple[signal.Signals, ...]:
    return (*_STOPS, signal.SIGHUP, signal.SIGCHLD)


def _noted(*_: object) -> None:
    """Do nothing: the wakeup descriptor gets the number of the signal."""
