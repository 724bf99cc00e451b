"""Limits of unauthenticated connections: their number, and the rate of key exchanges.

Load from one network does not lock out clients of other networks. When the number is reached, the
oldest unauthenticated connection of the network with the most of them is closed. When the rate is
reached, the next key exchange waits. Compare MaxStartups and PerSourcePenalties of OpenSSH.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Hashable
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
        crowded: str | None = None
        if len(self._waiting[network]) > self._most_of_one:
            crowded = network
        elif self._count > self._most:
            crowded = max(self._waiting, key=lambda each: len(self._waiting[each]))
        if crowded is None:
            return None
        oldest = next(iter(self._waiting[crowded]))
        self.leave(crowded, oldest)
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

    def __init__(self, per_second: float, at_once: int, *, longest_s: float) -> None:
        """Take the rate per second, the burst, and the longest wait in seconds."""
        self._each_s = 1.0 / per_second
        self._saved_s = at_once / per_second
        self._longest_s = longest_s
        self._buckets: dict[str, _Bucket] = {}

    def wait_s(self, key: str, now_s: float) -> float | None:
        """Return the wait of the next event of `key`; None, without a turn, if it is too long."""
        if len(self._buckets) > _BUCKETS:
            full = [key for key, each in self._buckets.items() if each.next_s <= now_s]
            for each in full:  # has its full burst allowance again
                del self._buckets[each]
        bucket = self._buckets.setdefault(key, _Bucket(now_s))
        begins = max(bucket.next_s, now_s) - (self._saved_s - self._each_s)
        wait = max(0.0, begins - now_s)
        if wait > self._longest_s:
            return None
        bucket.next_s = max(bucket.next_s, now_s) + self._each_s
        return wait


class HandshakeLimiter:
    """A limit on key exchanges: first for each network, then for all.

    So the load of one network does not delay clients of other networks.
    """

    def __init__(self, *, of_one: float, of_all: float, at_once: int, longest_s: float) -> None:
        """Take the exchanges a second for one network and for all, and the bursts."""
        self._of_one = RateLimit(of_one, max(1, at_once // 2), longest_s=longest_s)
        self._of_all = RateLimit(of_all, at_once, longest_s=longest_s)

    @classmethod
    def by(cls, policy: ListenerPolicy) -> HandshakeLimiter:
        """Return the limiter of one listener; no exchange waits longer than a login may take."""
        return cls(
            of_one=policy.handshakes_a_second_of_one,
            of_all=policy.handshakes_a_second,
            at_once=policy.handshakes_at_once,
            longest_s=policy.login_s,
        )

    async def wait(self, network: str) -> None:
        """Wait for the turn of a client; `TimeoutError` if the wait would be too long."""
        for rate, key in ((self._of_one, network), (self._of_all, "")):
            wait_s = rate.wait_s(key, time.monotonic())
            if wait_s is None:
                raise TimeoutError
            if wait_s:
                await asyncio.sleep(wait_s)


_BUCKETS = 4096
"""Networks whose rate is known, before those that have none to speak of are forgotten."""
