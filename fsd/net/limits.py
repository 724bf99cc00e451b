"""What strangers may have of the door: how many may wait inside it, and how fast it exchanges keys.

Nobody is turned away for what others do from elsewhere. Where there is no more room, the oldest
who has not logged in makes room, of the very network that has the most; where keys are exchanged
too fast, the next one waits. Compare MaxStartups and PerSourcePenalties of OpenSSH.
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
    """Unauthenticated connections, grouped by the network that they come from."""

    def __init__(self, *, most: int, most_of_one: int) -> None:
        """Take how many there may be in all, and of one network."""
        self._most = most
        self._most_of_one = most_of_one
        self._waiting: defaultdict[str, dict[T, None]] = defaultdict(dict)  # in order of coming
        self._count = 0

    def limit(self, *, most: int, most_of_one: int) -> None:
        """Take other limits for those who come from now on."""
        self._most, self._most_of_one = most, most_of_one

    def __len__(self) -> int:
        return self._count

    def enter(self, network: str, who: T) -> T | None:
        """Let one more in; return who has to leave for that, and has left already here."""
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
        """Let somebody go, who logged in or is gone; harmless if they have left before."""
        group = self._waiting.get(network)
        if group is None or who not in group:
            return
        del group[who]
        self._count -= 1
        if not group:
            del self._waiting[network]


@dataclass
class _Bucket:
    """When the next one of a kind may begin, if none of what is saved up were left."""

    next_s: float


class RateLimit:
    """So many a second, a few more at once after a pause (a token bucket; GCRA of ITU-T I.371)."""

    def __init__(self, per_second: float, at_once: int, *, longest_s: float) -> None:
        """Take the rate, how many may come at once, and the longest that one is made to wait."""
        self._each_s = 1.0 / per_second
        self._saved_s = at_once / per_second
        self._longest_s = longest_s
        self._buckets: dict[str, _Bucket] = {}

    def wait_s(self, key: str, now_s: float) -> float | None:
        """Return how long the next one of `key` has to wait; None, and it has no turn: too long."""
        if len(self._buckets) > _BUCKETS:
            full = [key for key, each in self._buckets.items() if each.next_s <= now_s]
            for each in full:  # as good as new
                del self._buckets[each]
        bucket = self._buckets.setdefault(key, _Bucket(now_s))
        begins = max(bucket.next_s, now_s) - (self._saved_s - self._each_s)
        wait = max(0.0, begins - now_s)
        if wait > self._longest_s:
            return None
        bucket.next_s = max(bucket.next_s, now_s) + self._each_s
        return wait


class HandshakeLimiter:
    """Whose turn it is to exchange keys: first among one's own network, then among all.

    So who comes from elsewhere does not wait for those of one network.
    """

    def __init__(self, *, of_one: float, of_all: float, at_once: int, longest_s: float) -> None:
        """Take exchanges a second of one network and of all, and how many may come at once."""
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
        """Wait for the turn of somebody; `TimeoutError` if it would come too late."""
        for rate, key in ((self._of_one, network), (self._of_all, "")):
            wait_s = rate.wait_s(key, time.monotonic())
            if wait_s is None:
                raise TimeoutError
            if wait_s:
                await asyncio.sleep(wait_s)


_BUCKETS = 4096
"""Networks whose rate is known, before those that have none to speak of are forgotten."""
