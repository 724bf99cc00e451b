"""Times in JSON results: a text in UTC next to each number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

_UNITS = ("ms", "ns")
_SPANS = frozenset({"clock_ms"})
"""Fields that are no times."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def with_utc_times(value: object) -> object:
    """Return a JSON value in which each time `X_ms` or `X_ns` is followed by `X_utc`.

    That is the time in UTC (ISO 8601) with milliseconds; None for no time, and for a time before
    the year 1 or after 9999.
    """
    if isinstance(value, (list, tuple)):
        return [with_utc_times(one) for one in value]
    if not isinstance(value, dict):
        return value
    told: dict[Any, object] = {}
    for key, one in value.items():
        told[key] = with_utc_times(one)
        stem, _, unit = str(key).rpartition("_")
        if stem and unit in _UNITS and key not in _SPANS:
            told[f"{stem}_utc"] = _text(one, unit)
    return told


def _text(value: object, unit: str) -> str | None:
    if not isinstance(value, int) or (value == 0 and unit == "ms"):
        return None
    try:
        return utc_text(value // 1_000_000 if unit == "ns" else value)
    except OverflowError:
        return None


def utc_text(time_ms: int) -> str:
    """Return a Unix time in milliseconds as text in UTC (ISO 8601); `OverflowError` out of range.

    The range is that of the years 1 to 9999.
    """
    at = _EPOCH + timedelta(milliseconds=time_ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
