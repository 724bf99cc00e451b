"""Limits of unauthenticated connections: their number, and the rate of key exchanges.

Load from one network does not lock out clients of other networks. When the number is reached, the
oldest unauthenticated connection of the network with the most of them is closed. When the rate is
reached, key exchanges wait, and the networks take turns. Compare MaxStartups and PerSourcePenalties
of OpenSSH.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import defaultdict, deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from fsd.policies import ListenerPolicy

T = TypeVar("T", bound=Hashable)


class Unauthenticated(Generic[T]):
    """Unauthenticated connections, grouped by source network."""

    def __init__(self, *, most: int, most_of_one: int) -> None:
        """Take the maximum number in total, and for one network."""
        self._most = most
        self._most_of_one = most_of_one
        self._waiting: defaultdict[str, dict[T, None]] = defaultdict(dict)  # in order of arrival
        self._count = 0

    def limit(self, *, most: int, most_of_one: int) -> None:
        """Replace the limits for future connections."""
        self._most, self._most_of_one = most, most_of_one

    def __len__(self) -> int:
        return self._count

    def enter(self, network: str, who: T) -> T | None:
        """Add a connection; return the one to close for it, which is already removed here."""
        self._waiting[network][who] = None
        self._count += 1
        if len(self._waiting[network]) > self._most_of_one:
            return self._evict_from(network)
        return self.evict() if self._count > self._most else None

    def evict(self) -> T | None:
        """Remove and return the oldest connection of the network with the most; None: none is."""
        if not self._waiting:
            return None
        return self._evict_from(max(self._waiting, key=lambda each: len(self._waiting[each])))

    def _evict_from(self, network: str) -> T:
        oldest = next(iter(self._waiting[network]))
        self.leave(network, oldest)
        return oldest

    def leave(self, network: str, who: T) -> None:
        """Remove a connection that logged in or ended; harmless if it is already removed."""
        group = self._waiting.get(network)
        if group is None or who not in group:
            return
        del group[who]
        self._count -= 1
        if not group:
            del self._waiting[network]


@dataclass
class _Bucket:
    """The time at which the next event may start if no burst allowance were left."""

    next_s: float


class RateLimit:
    """A rate limit with a burst allowance (a token bucket; GCRA of ITU-T I.371)."""

    def __init__(self, per_second: float, at_once: int) -> None:
        """Take the rate per second, and the burst."""
        self._each_s = 1.0 / per_second
        self._saved_s = at_once / per_second
        self._buckets: dict[str, _Bucket] = {}

    def ready_in_s(self, key: str, now_s: float) -> float:
        """Return how long the next event of `key` must wait; 0 if it may start now."""
        bucket = self._buckets.get(key)
        if bucket is None:
            return 0.0
        return max(0.0, bucket.next_s - (self._saved_s - self._each_s) - now_s)

    def take(self, key: str, now_s: float) -> None:
        """Count an event of `key` that starts now."""
        if len(self._buckets) > _BUCKETS:
            full = [key for key, each in self._buckets.items() if each.next_s <= now_s]
            for each in full:  # has its full burst allowance again
                del self._buckets[each]
        bucket = self._buckets.setdefault(key, _Bucket(now_s))
        bucket.next_s = max(bucket.next_s, now_s) + self._each_s


class HandshakeLimiter:
    """Turns for key exchanges: networks take turns, however many connections each of them has.

    A network gets a turn when its own rate and the total rate allow it, and while fewer than a
    fixed number of key exchanges run. Only connections wait, so `Unauthenticated` bounds the queue;
    a connection that ends while it waits leaves the queue and costs no turn.
    """

    def __init__(self, *, of_one: float, of_all: float, at_once: int) -> None:
        """Take the turns a second for one network and for all, and the burst (of one: half)."""
        self._of_one = RateLimit(of_one, max(1, at_once // 2))
        self._of_all = RateLimit(of_all, at_once)
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """The networks in the order of their next turn."""
        self._at_work = 0
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def by(cls, policy: ListenerPolicy, *, turns: int = 1) -> HandshakeLimiter:
        """Return the limiter of one listener; `turns` is how many one key exchange takes."""
        return cls(
            of_one=turns * policy.handshakes_a_second_of_one,
            of_all=turns * policy.handshakes_a_second,
            at_once=turns * policy.handshakes_at_once,
        )

    def queue(self, network: str) -> asyncio.Future[None]:
        """Return what is done when it is the turn of a connection; always `leave` afterwards."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(network, deque()).append(turn)
        self._give()
        return turn

    def leave(self, network: str, turn: asyncio.Future[None]) -> None:
        """End a turn, or give up waiting for it."""
        if turn.done() and not turn.cancelled():
            self._at_work -= 1
        elif turn in (queue := self._waiting.get(network, deque())):
            queue.remove(turn)
            if not queue:
                del self._waiting[network]
        self._give()

    def _give(self) -> None:
        """Give turns while there are any, and look again when the next one is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting and self._at_work < _AT_WORK:
            now = time.monotonic()
            wait_s = self._of_all.ready_in_s("", now)
            network = ""
            if not wait_s:
                waits = ((self._of_one.ready_in_s(each, now), each) for each in self._waiting)
                wait_s, network = _first_ready(waits)
            if wait_s:
                self._timer = asyncio.get_running_loop().call_later(wait_s, self._give)
                return
            queue = self._waiting.pop(network)
            turn = queue.popleft()
            if queue:
                self._waiting[network] = queue  # behind all others
            if turn.cancelled():
                continue
            self._of_all.take("", now)
            self._of_one.take(network, now)
            self._at_work += 1
            turn.set_result(None)


def _first_ready(waits: Iterable[tuple[float, str]]) -> tuple[float, str]:
    """Return the first network that may start now, else the network with the shortest wait."""
    soonest = (math.inf, "")
    for wait_s, network in waits:
        if not wait_s:
            return 0.0, network
        soonest = min(soonest, (wait_s, network))
    return soonest


_BUCKETS = 4096
"""Networks whose rate is known, before those with their full burst allowance are forgotten."""
_AT_WORK = 2 * (os.cpu_count() or 1)
"""Key exchanges that are computed concurrently."""
