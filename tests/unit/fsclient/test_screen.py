from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsclient.screen import columns_of, fit


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("", 0),
        ("abc", 3),
        ("äß", 2),
        ("a\u0308", 1),
        ("日本語", 6),
        ("ﾊﾝ", 2),
        ("🙂", 2),
        ("❤\ufe0f", 2),
        ("a\u200db", 2),
    ],
)
def test_letters_take_the_columns_that_terminals_give_them(text, columns):
    assert columns_of(text) == columns


@pytest.mark.parametrize(
    ("text", "columns", "fitted"),
    [
        ("short", 8, "short   "),
        ("exactly8", 8, "exactly8"),
        ("one-long-name.pdf", 9, "one-….pdf"),
        ("日本語の名前", 8, "日…名前 "),
        ("ab", 1, "…"),
    ],
)
def test_a_name_is_cut_in_its_middle(text, columns, fitted):
    assert fit(text, columns) == fitted


@given(st.text(), st.integers(1, 60), st.sampled_from("…~"))
def test_what_is_fitted_takes_just_the_columns_it_was_given(text, columns, gap):
    assert columns_of(fit(text, columns, gap=gap)) == columns


def on_terminal(work) -> bytes:
    """Return what a terminal gets from a screen that `work` is done with."""
    import pty
    import sys

    from fsclient.screen import Screen

    master, slave = pty.openpty()
    before = sys.stderr
    try:
        with os.fdopen(slave, "w") as sys.stderr:
            work(Screen(), sys.stderr)
            os.write(slave, b"\x04")  # its end: all of it may not have come yet
            got = b""
            while not got.endswith(b"\x04"):
                got += os.read(master, 1 << 16)
    finally:
        sys.stderr = before
        os.close(master)
    return got[:-1]


UP, CLEAN, LINE = b"\x1b[1A", b"\x1b[J", b"\x1b[K"


def test_what_is_drawn_again_stands_in_place_of_what_was_there():
    def work(screen, _):
        screen.draw(["one", "two"])
        screen.draw(["three", "four"])
        screen.clear()

    first, again, end = on_terminal(work).split(b"\x1b[?7l")[0:3]
    assert first == b"\r"
    assert again.startswith(b"one" + LINE + b"\r\ntwo" + LINE + CLEAN)
    assert again.endswith(b"\r" + UP)
    assert end.startswith(b"three" + LINE + b"\r\nfour" + LINE)
    assert end.endswith(b"\r\r" + UP + CLEAN)


def test_what_is_said_in_between_is_written_where_the_lines_were_and_they_come_again_below():
    def work(screen, terminal):
        screen.draw(["bar"])
        with screen.aside():
            terminal.write("said\n")
            terminal.flush()

    assert b"\r\r" + CLEAN + b"said\r\n\r\x1b[?7lbar" in on_terminal(work)


def test_a_screen_without_lines_adds_nothing_to_what_is_said():
    def work(screen, terminal):
        with screen.aside():
            terminal.write("said\n")
            terminal.flush()
        screen.clear()

    assert on_terminal(work) == b"said\r\n"
