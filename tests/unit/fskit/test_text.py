"""Sizes and times as people type and read them."""

from __future__ import annotations

import time

import pytest

from fskit.text import parse_moment, parse_size, time_column, time_text

NOW_S = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "ago_s"),
    [("90s", 90), ("15m", 900), ("8h", 28_800), ("7d", 604_800), (" 2 w ", 1_209_600)],
)
def test_a_span_of_time_is_taken_from_now(text, ago_s):
    assert parse_moment(text, NOW_S) == NOW_S - ago_s


def test_a_date_is_local_and_starts_at_midnight():
    midnight = time.localtime(parse_moment("2024-02-29", NOW_S))
    assert midnight[:6] == (2024, 2, 29, 0, 0, 0)
    for text in ("2024-02-29 14:03", "2024-02-29T14:03"):
        assert time.localtime(parse_moment(text, NOW_S))[:6] == (2024, 2, 29, 14, 3, 0)


@pytest.mark.parametrize("text", ["", "d", "7", "7y", "-1d", "2023-02-29", "14:03", "yesterday"])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="no moment"):
        parse_moment(text, NOW_S)


ABSURD_MS = (
    -(1 << 63), -62_135_596_800_000, -2_300_000_000_000, 253_402_300_800_000, 1 << 62,
    (1 << 63) - 1, 1e30, -1e30,
)  # fmt: skip
"""The limits of what a message carries, the year 1, 1897, and from the year 10000 on."""


@pytest.mark.parametrize("time_ms", ABSURD_MS)
@pytest.mark.parametrize("zone", ["UTC", "XST-14", "XST12"])
def test_a_time_that_cannot_be_true_is_unknown(time_ms, zone, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert time_text(time_ms) == "unknown time"
        assert len(time_column(time_ms)) == len(time_column(1_700_000_000_000))
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("year", [1900, 1969, 1970, 2038, 2106, 9999])
def test_a_time_that_may_be_true_has_its_date(year):
    noon_ms = time.mktime((year, 6, 15, 12, 34, 0, 0, 0, -1)) * 1000
    assert time_text(noon_ms) == f"{year}-06-15 12:34"
    assert time_column(noon_ms) == time_text(noon_ms)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("17", 17),
        ("17 B", 17),
        ("2k", 2048),
        ("1.5 TiB", 3 << 39),
        ("10G", 10 << 30),
        ("10gi", 10 << 30),
        ("10GB", 10**10),
        ("1.5 kB", 1500),
        ("8EiB", None),
        ("10 GBB", None),
        ("10 XB", None),
        ("GB", None),
        ("-1M", None),
    ],
)
def test_sizes_have_the_units_of_the_gnu_tools(text, size):
    if size is None:
        with pytest.raises(ValueError, match="bytes"):
            parse_size(text)
    else:
        assert parse_size(text) == size
