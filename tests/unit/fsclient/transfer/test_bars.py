"""Bars as text, in any number of columns and rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsclient.screen import columns_of
from fsclient.transfer.bars import ASCII, bar_lines
from fsclient.transfer.standing import FileStanding, Standing

MB = 10**6


def standing(*files: FileStanding, expected: int | None = 400 * MB, **more) -> Standing:
    known = {"files": 3, "files_expected": 12, "bytes": 100 * MB, "seconds": 2.0, "rate": 50.0 * MB}
    return Standing(verb="put", bytes_expected=expected, under_way=files, **{**known, **more})


ISO = FileStanding("images/disk.iso", 45 * MB, 90 * MB)
PIPE = FileStanding("dump.sql", 7 * MB, None)


def test_each_large_file_has_a_bar_and_everything_has_one_with_rate_and_time_left():
    assert bar_lines(standing(ISO, PIPE), 79, 24) == [
        "images/disk.iso  ━━━━━━━━━──────────   50%   45.0 MB",
        "dump.sql                                      7.0 MB",
        "3 of 12 files    ━━━━───────────────   25%  100.0 MB   50.0 MB/s       6 s left",
    ]


def test_a_narrow_terminal_gets_less():
    assert bar_lines(standing(ISO), 39, 24) == [
        "disk.iso       ━━━━────   50%",
        "3 of 12 files  ━━──────   25%       6 s",
    ]
    assert bar_lines(standing(ISO), 10, 24) == ["disk.iso", "3/12"]


def test_the_only_file_is_everything():
    lines = bar_lines(standing(ISO, files=0, files_expected=1), 79, 24)
    assert len(lines) == 1
    assert lines[0].startswith("images/disk.iso  ━")
    assert lines[0].endswith("50.0 MB/s       6 s left")


def test_without_a_size_there_is_no_bar():
    lines = bar_lines(standing(PIPE, expected=None, files_expected=1), 79, 24)
    assert lines == ["dump.sql  100.0 MB   50.0 MB/s"]


def test_where_rows_are_few_everything_keeps_its_own():
    files = [FileStanding(f"file {n}", n, 9) for n in range(9)]
    assert [line.split("  ")[0] for line in bar_lines(standing(*files), 79, 3)] == [
        "file 0",
        "file 1",
        "3 of 12 files",
    ]
    assert bar_lines(standing(*files), 79, 1)[0].startswith("3 of 12 files")


def test_a_bar_is_full_only_when_all_is_there():
    (almost,) = bar_lines(standing(bytes=400 * MB - 1), 79, 24)
    (all_,) = bar_lines(standing(bytes=400 * MB), 79, 24)
    assert ("━─" in almost, " 99%" in almost) == (True, True)
    assert ("─" in all_, "100%" in all_) == (False, True)


def test_a_terminal_without_such_letters_gets_plain_ones():
    name = FileStanding("a-name-that-is-too-long-for-what-is-left.iso", 45 * MB, 90 * MB)
    lines = bar_lines(standing(name), 59, 24, ASCII)
    assert all(line.isascii() for line in lines)
    assert "####----" in lines[0]
    assert "~" in lines[0]


def test_names_cannot_move_the_cursor():
    lines = bar_lines(standing(FileStanding("\x1b[2J\u202ename", 1, 9)), 79, 24)
    assert lines[0].startswith("\\u001b[2J\\u202ename")


names = st.text(min_size=1)
sizes = st.integers(0, 10**14)
rows = st.builds(FileStanding, names, sizes, st.none() | sizes)


@given(
    st.lists(rows, max_size=4),
    st.integers(1, 200),
    st.integers(1, 6),
    st.none() | sizes,
    st.none() | st.integers(1, 10**6),
    st.none() | st.floats(0, 1e12),
)
def test_no_line_is_ever_too_long(files, columns, rows, expected, files_expected, rate):
    now = standing(*files, expected=expected, files_expected=files_expected, rate=rate)
    lines = bar_lines(now, columns, rows)
    assert 0 < len(lines) <= rows
    assert all(columns_of(line) <= columns for line in lines)


@pytest.mark.parametrize("columns", range(39, 140, 7))
def test_all_bars_stand_below_each_other(columns):
    first, last = bar_lines(standing(ISO, rate=None), columns, 24)
    assert first.index("━") == last.index("━")
