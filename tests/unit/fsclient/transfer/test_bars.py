"""Progress bars in terminals of any size, and the messages and questions shown with them."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from fsclient.transfer.report.bars import Bars, bars
from fsclient.transfer.report.rate import FileSnapshot, Snapshot
from fsclient.ui import Ui

MB = 10**6


def standing(*files: FileSnapshot, expected: int | None = 400 * MB, **more) -> Snapshot:
    known = {"files": 3, "files_expected": 12, "bytes": 100 * MB, "seconds": 2.0, "rate": 50.0 * MB}
    return Snapshot(verb="put", bytes_expected=expected, under_way=files, **{**known, **more})


ISO = FileSnapshot("images/disk.iso", 45 * MB, 90 * MB)
PIPE = FileSnapshot("dump.sql", 7 * MB, None)


def drawn(now: Snapshot, columns: int, rows: int = 24, *, encoding: str = "utf-8") -> list[str]:
    """Return the lines that are drawn, without trailing spaces."""
    file = io.TextIOWrapper(io.BytesIO(), encoding)
    console = Console(file=file, width=columns, height=rows, color_system=None)
    console.print(bars(now, columns, rows, fine=encoding == "utf-8"), crop=False)
    file.seek(0)
    return [line.rstrip() for line in file.read().splitlines()]


def test_each_large_file_has_a_bar_and_everything_has_one_with_rate_and_time_left():
    assert drawn(standing(ISO, PIPE), 78) == [
        "images/disk.iso       ━━━━━━         50%   45.0 MB",
        "dump.sql                                    7.0 MB",
        "3 of 12 files         ━━━            25%  100.0 MB   50.0 MB/s        6 s left",
    ]


def test_a_narrow_terminal_gets_less():
    assert drawn(standing(ISO), 38) == [
        "disk.iso      ━━━╸      50%",
        "3/12          ━╸        25%        6 s",
    ]
    assert drawn(standing(ISO), 16) == ["disk.iso     50%", "3/12         25%"]


@pytest.mark.parametrize(("columns", "moved"), [(78, "100.0 MB   50.0 MB/s"), (16, "100.0 MB")])
def test_where_no_size_is_known_what_has_moved_is_shown_in_place_of_a_bar(columns, moved):
    now = standing(PIPE, expected=None, files_expected=1, rate=50.0 * MB)
    (line,) = drawn(now, columns)
    assert re.fullmatch(f"du.+ +{moved}", line)


def test_the_only_file_is_everything():
    (line,) = drawn(standing(ISO, files=0, files_expected=1), 78)
    assert line.startswith("images/disk.iso  ")
    assert line.endswith("25%  100.0 MB   50.0 MB/s        6 s left")


def test_not_all_files_have_a_line_but_everything_keeps_its_own():
    now = standing(*(FileSnapshot(f"file {n}", n, 9) for n in range(9)))
    first = [line.split("  ")[0] for line in drawn(now, 78)]
    assert first == ["file 0", "file 1", "file 2", "file 3", "3 of 12 files"]
    assert [line.split("  ")[0] for line in drawn(now, 78, 3)][-1] == "3 of 12 files"
    assert len(drawn(now, 78, 3)) == 3


def test_a_bar_is_full_only_when_all_is_there():
    (almost,) = drawn(standing(bytes=400 * MB - 1), 78)
    (all_,) = drawn(standing(bytes=400 * MB), 78)
    assert ("╸" in almost, " 99%" in almost) == (True, True)
    assert ("╸" in all_, "100%" in all_) == (False, True)


def test_a_terminal_without_such_letters_gets_plain_ones():
    name = FileSnapshot("a-name-that-is-too-long-for-what-is-left.iso", 45 * MB, 90 * MB)
    lines = drawn(standing(name), 58, encoding="ascii")
    assert all(line.isascii() for line in lines)
    assert "  ----" in lines[0]


@pytest.mark.parametrize("name", ["[red]", "[/]", "[link=x]y", ":smile:", "\\["])
def test_names_are_not_taken_for_markup(name):
    assert drawn(standing(FileSnapshot(name, 1, 9)), 78)[0].startswith(f"{name}  ")


def test_names_cannot_move_the_cursor():
    lines = drawn(standing(FileSnapshot("\x1b[2J\u202ename", 1, 9)), 118)
    assert lines[0].startswith("\\u001b[2J\\u202ename")


names = st.text(min_size=1)
sizes = st.integers(0, 10**14)


@given(
    st.lists(st.builds(FileSnapshot, names, sizes, st.none() | sizes), max_size=6),
    st.integers(1, 200),
    st.integers(1, 8),
    st.none() | sizes,
    st.none() | st.integers(1, 10**6),
    st.none() | st.floats(0, 1e12),
)
def test_no_line_is_ever_too_long(files, columns, rows, expected, files_expected, rate):
    now = standing(*files, expected=expected, files_expected=files_expected, rate=rate)
    lines = drawn(now, columns, rows)
    assert 0 < len(lines) <= rows
    assert all(cell_len(line) <= columns for line in lines)


@pytest.mark.parametrize("columns", range(30, 140, 7))
def test_all_bars_stand_below_each_other(columns):
    first, last = drawn(standing(ISO, FileSnapshot("日本語", 1, 2), rate=None), columns)[:2]
    assert cell_len(first[: first.index("━")]) == cell_len(last[: last.index("━")])


# --- on a terminal


@contextlib.contextmanager
def terminal(monkeypatch, *, answer: bytes = b"") -> Iterator[io.BytesIO]:
    """Replace stdin and stderr by a terminal; yield a buffer that finally holds its output."""
    master, slave = pty.openpty()
    got = io.BytesIO()
    os.write(master, answer)
    with os.fdopen(os.dup(slave)) as stdin, os.fdopen(slave, "w") as stderr:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "stderr", stderr)
        yield got
        os.write(slave, b"\x04")  # marks the end: some output may still be in transit
        while not got.getvalue().endswith(b"\x04"):
            got.write(os.read(master, 1 << 16))
    os.close(master)


ERASED = re.compile(rb"\r(?:\x1b\[2K|\x1b\[1A)+")


def test_what_is_said_stands_above_the_bars_and_is_not_lost_with_them(monkeypatch):
    with terminal(monkeypatch) as got:
        ui = Ui()
        shown = Bars(ui)
        shown.tell(standing(ISO))
        ui.warn("One [red] thing.")
        shown.tell(standing(ISO))
        ui.say("Another thing.")
        shown.end(None)
        shown.tell(standing(ISO))
        ui.say("The last one.")
    pieces = ERASED.split(got.getvalue())
    said = b"fsclient: One [red] thing.\r\nimages/disk.iso "
    assert any(piece.startswith(said) for piece in pieces)
    assert pieces[-1] == b"Another thing.\r\nThe last one.\r\n\x04"
    assert sum(b"thing" in piece for piece in pieces) == 2
    assert b"\x1b[?25l" not in got.getvalue()


def test_a_question_stands_where_no_bars_are(monkeypatch):
    with terminal(monkeypatch, answer=b"492039\n") as got:
        ui = Ui()
        shown = Bars(ui)
        shown.tell(standing(ISO))
        assert ui.ask("One-time password: ") == "492039"
        shown.tell(standing(ISO))
        shown.end(None)
    pieces = ERASED.split(got.getvalue())
    assert any(piece.startswith(b"One-time password: ") for piece in pieces)
    assert pieces[-1] == b"\x04"


def test_where_no_bars_are_nothing_is_added_to_what_is_said(monkeypatch):
    with terminal(monkeypatch) as got:
        ui = Ui()
        shown = Bars(ui)
        ui.say("Said.")
        shown.end(None)
        ui.end_line()
    assert got.getvalue() == b"Said.\r\n\r\n\x04"
