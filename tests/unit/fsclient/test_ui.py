from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fskit.text import count_text, size_text

UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (4096, "4.1 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (50_000_000, "50.0 MB"),
        (999_999_999, "1.0 GB"),
        (1_500_000_000_000, "1.5 TB"),
        (12_345_000_000_000_000, "12345.0 TB"),
    ],
)
def test_sizes_are_written_as_people_read_them(size, text):
    assert size_text(size) == text


@given(st.integers(0, 10**15))
def test_a_size_that_is_read_back_is_about_the_same(size):
    number, unit = size_text(size).split()
    assert abs(float(number) * UNITS[unit] - size) <= UNITS[unit] * 0.0501
    assert float(number) < 1000 or unit == "TB"


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_a_larger_size_never_reads_as_a_smaller_one(one, other):
    def value(size: int) -> float:
        number, unit = size_text(size).split()
        return float(number) * UNITS[unit]

    small, large = sorted([one, other])
    assert value(small) <= value(large) * 1.0001


def test_one_thing_is_not_several():
    counted = [count_text(n, "file") for n in (0, 1, 2)]
    assert counted == ["0 files", "1 file", "2 files"]
