"""Sizes, counts and times as people read them, and sizes as people type them."""

from __future__ import annotations

import re
import time

_KIB = 1024
_UNIT = 1000.0
_ROUNDS_UP = 999.95
"""From here on a size would be written as 1000.0 of its unit."""
_MINUTE_S = 60
_WORTH_TELLING_S = 1.0
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_TYPED = re.compile(r"([0-9]{1,19})(?:\.([0-9]{1,3}))?\s*(?:([KMGTPE])(iB?|B)?|B)?", re.IGNORECASE)
_AGO = re.compile(r"([0-9]{1,9})\s*([smhdw])")
_SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_EARLIEST_MS = -2_208_902_400_000
_LATEST_MS = 253_402_214_400_000
"""The first and the last day that are in four digits of the year in every time zone."""
_UNKNOWN_TIME = "unknown time"
ALLOWED_MOMENTS = "a date like 2026-11-28, or a time ago like 90s, 15m, 8h, 7d or 2w"
ALLOWED_SPANS = "a span of time like 90s, 15m, 8h, 7d or 2w"
MAX_BYTES = (1 << 63) - 1
"""The largest integer that a database column can store."""
ALLOWED_BYTES = (
    "a number of bytes like 500M, 10G or 1.5 TiB (powers of 1024), or 10GB (powers of 1000)"
)


def binary_size_text(count: int) -> str:
    """Return a size in powers of 1024: `0 B`, `17 B`, `3.4 MiB`."""
    if count < _KIB:
        return f"{count} B"
    amount, units = float(count), iter(_UNITS[1:])
    unit = ""
    while amount >= _KIB and (bigger := next(units, "")):
        amount, unit = amount / _KIB, bigger
    return f"{amount:.1f} {unit}"


def parse_size(text: str) -> int:
    """Read `17`, `500M`, `10 GiB`, `1.5T`, `10GB`; `ValueError` if invalid, or beyond 2^63 - 1.

    As in the GNU tools, `G` and `GiB` are powers of 1024, and `GB` is a power of 1000.
    """
    match = _TYPED.fullmatch(text.strip())
    if match is None:
        raise ValueError("no number of bytes")
    whole, fraction, letter = match[1], match[2] or "", (match[3] or "B").upper()
    base = 1000 if (match[4] or "").upper() == "B" else _KIB
    unit = base ** [name[0] for name in _UNITS].index(letter)
    count: int = int(whole + fraction) * unit // 10 ** len(fraction)
    if count > MAX_BYTES:
        raise ValueError("too many bytes")
    return count


def parse_moment(text: str, now_s: float) -> float:
    """Return a moment as typed, in seconds since the epoch; `ValueError` if it is invalid.

    It is a local date `2026-11-28`, one with a time `2026-11-28 14:03`, or a span of time before
    now: `90s`, `15m`, `8h`, `7d`, `2w`.
    """
    if match := _AGO.fullmatch(text.strip()):
        return now_s - int(match[1]) * _SPANS[match[2]]
    for form in ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"):
        try:
            return time.mktime(time.strptime(text.strip(), form))
        except (ValueError, OverflowError):
            continue
    raise ValueError("no moment")


def parse_span(text: str) -> int:
    """Return a span of time as typed, in seconds: `90s`, `15m`, `8h`, `7d`, `2w`.

    `ValueError` for any other text, and for a span of nothing.
    """
    match = _AGO.fullmatch(text.strip())
    if match is None or not int(match[1]):
        raise ValueError("no span of time")
    return int(match[1]) * _SPANS[match[2]]


def size_text(size: float) -> str:
    """Return a size as people read it: `0 B`, `4.1 kB`, `50.0 MB`."""
    if size < _UNIT:
        return f"{int(size)} B"
    units = ["TB", "GB", "MB", "kB"]
    while (size := size / _UNIT) >= _ROUNDS_UP and len(units) > 1:
        units.pop()
    return f"{size:.1f} {units[-1]}"


def duration_text(seconds: float) -> str:
    """Return a time span as people read it: `5 s`, `1:05 min`, `2:03 h`."""
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    minutes, rest = divmod(whole, _MINUTE_S)
    if minutes < _MINUTE_S:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // _MINUTE_S}:{minutes % _MINUTE_S:02} h"


def took_text(size: float, seconds: float) -> str:
    """Return `in 2.1 s (58.2 MB/s)`, or nothing for a time that says nothing of the rate."""
    if seconds < _WORTH_TELLING_S:
        return ""
    return f"in {seconds:.1f} s ({size_text(size / seconds)}/s)"


def time_text(time_ms: float) -> str:
    """Return a time as a text in the local time zone, such as `2026-11-29 09:36`.

    Others may have signed any time: one before 1900 or after 9999 is an `unknown time`.
    """
    if not _EARLIEST_MS <= time_ms <= _LATEST_MS:
        return _UNKNOWN_TIME
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(time_ms / 1000))
    except OSError:  # Windows has no local time before 1970
        return _UNKNOWN_TIME


def time_column(time_ms: float) -> str:
    """Return the same text, as long as every other one in a column of times."""
    return f"{time_text(time_ms):<16}"


def count_text(count: int, one: str, many: str | None = None) -> str:
    """Return `1 entry`, `2 entries`; `many` is `one` with an `s` if it is not given."""
    return f"{count} {one if count == 1 else many or one + 's'}"
