"""Limits of bandwidth (`--bwlimit`): rates by the time of the week, and a socket that keeps to one.

All connections of one command share one limit. It counts the bytes on the wire.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from bisect import bisect_right
from collections.abc import Callable

from fskit.text import parse_size
from fsproto.values import Value

LEAST = 8 * 1024
"""Bytes a second; at a lower rate, one message could take longer than both ends wait for it."""
ALLOWED_RATES = (
    "a rate like 512K, 10M or off, one like 10M:1M for up and down, or a timetable like "
    "'08:00,512K 18:00,10M' or 'Mon-08:00,512K Fri-18:00,off'; the least is 8K"
)
_BURST_S = 0.1
"""A pause may be made up for by this much; also the time in which one call sends its bytes."""
_LEAST_PIECE = 1024
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = 24 * 60
_START = re.compile(r"(?:([a-z]{3})-)?(\d\d):(\d\d),(.+)", re.IGNORECASE)


class Rates(Value, frozen=True):
    """Bytes a second in each direction; None is no limit."""

    up: int | None = None
    down: int | None = None


class Timetable(Value, frozen=True):
    """Rates from a minute of the week on, Monday at 0:00 is 0, in the order of the minutes."""

    starts: tuple[int, ...]
    rates: tuple[Rates, ...]

    def at(self, now: time.struct_time) -> Rates:
        """Return the rates at a local time; before the first minute, the last rates go on."""
        minute = now.tm_wday * _DAY + now.tm_hour * 60 + now.tm_min
        return self.rates[bisect_right(self.starts, minute) - 1]


def parse_timetable(text: str) -> Timetable:
    """Read a rate or a timetable as typed; `ValueError` if it is invalid."""
    words = text.split()
    if len(words) == 1 and "," not in words[0]:
        return Timetable((0,), (_parse_rates(words[0]),))
    found: dict[int, Rates] = {}
    for with_day in (False, True):  # what is for one day counts more
        for word in words:
            match = _START.fullmatch(word)
            if match is None:
                raise ValueError("no time with a rate")
            day, hour, minute, rate = match[1], int(match[2]), int(match[3]), match[4]
            if hour > 23 or minute > 59:  # noqa: PLR2004 - of a clock
                raise ValueError("no time of a day")
            days = range(7) if day is None else [_DAYS.index(day.lower())]
            if with_day == (day is not None):
                found |= {at * _DAY + hour * 60 + minute: _parse_rates(rate) for at in days}
    if not found:
        raise ValueError("no rate")
    starts = tuple(sorted(found))
    return Timetable(starts, tuple(found[start] for start in starts))


def _parse_rates(text: str) -> Rates:
    up, colon, down = text.partition(":")
    return Rates(_parse_rate(up), _parse_rate(down if colon else up))


def _parse_rate(text: str) -> int | None:
    if text.lower() == "off":
        return None
    if text.isdigit():
        raise ValueError("no unit")  # rclone's is KiB, and everywhere else here it is a byte
    rate = parse_size(text)
    if rate < LEAST:
        raise ValueError("too little")
    return rate


class Bandwidth:
    """The limit of one command; any thread may call."""

    def __init__(
        self,
        timetable: Timetable,
        *,
        clock: Callable[[], float] = time.monotonic,
        local_time: Callable[[], time.struct_time] = time.localtime,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`clock` returns seconds; `sleep` waits for seconds."""
        self._timetable = timetable
        self._clock = clock
        self._local_time = local_time
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_s = {"up": 0.0, "down": 0.0}
        """When the bytes so far would have been moved at the rate."""

    def on(self, line: socket.socket) -> LimitedSocket:
        """Return a socket that keeps to this limit."""
        return LimitedSocket(line, self)

    def piece(self, direction: str) -> int | None:
        """Return how many bytes may be moved at once; None: any number."""
        rate = self._rate(direction)
        return None if rate is None else max(_LEAST_PIECE, int(rate * _BURST_S))

    def moved(self, direction: str, count: int) -> None:
        """Wait until `count` more bytes are within the rate."""
        rate = self._rate(direction)
        if rate is None:
            return
        with self._lock:
            now = self._clock()
            free_s = max(self._free_s[direction], now - _BURST_S) + count / rate
            self._free_s[direction] = free_s
        if free_s > now:
            self._sleep(free_s - now)

    def _rate(self, direction: str) -> int | None:
        rates = self._timetable.at(self._local_time())
        return rates.up if direction == "up" else rates.down


class LimitedSocket:
    """A socket that moves bytes no faster than a limit."""

    def __init__(self, line: socket.socket, limit: Bandwidth) -> None:
        self._line = line
        self._limit = limit

    def send(self, data: memoryview, /) -> int:
        """Send some of the data; return how much."""
        count = self._line.send(data[: self._limit.piece("up")])
        self._limit.moved("up", count)
        return count

    def recv_into(self, room: memoryview, /) -> int:
        """Receive some data; return how much, 0 at the end."""
        count = self._line.recv_into(room[: self._limit.piece("down")])
        self._limit.moved("down", count)
        return count

    def fileno(self) -> int:
        """Return the number of the socket, for `select`."""
        return self._line.fileno()

    def gettimeout(self) -> float | None:
        """Return the timeout of the socket."""
        return self._line.gettimeout()

    def settimeout(self, timeout_s: float | None, /) -> None:
        """Set the timeout of the socket."""
        self._line.settimeout(timeout_s)

    def close(self) -> None:
        """Close the socket."""
        self._line.close()
