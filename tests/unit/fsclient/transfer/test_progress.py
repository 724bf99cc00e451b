"""Progress of a transfer: the arithmetic and the printed lines, with a fake clock."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from fsclient.transfer.report.progress import LARGE, Progress
from fsclient.ui import Ui
from fsproto.errors import FsError

MB = 10**6


class Clock:
    """A fake clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def plain(clock: Clock) -> Progress:
    return Progress(Ui(), "put", "put", "plain", clock)


@pytest.fixture
def as_json(clock: Clock) -> Progress:
    return Progress(Ui(), "put", "put", "json", clock)


def told(capsys) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    return list(err.splitlines())


def test_plain_lines_say_files_bytes_rate_and_the_time_left(plain, clock, capsys):
    plain.look_ahead(iter([100 * MB, 200 * MB, 100 * MB]))
    plain.expect(100 * MB)
    plain.advance(100 * MB)
    plain.file_done()
    clock.now += 2
    plain.look()
    plain.advance(100 * MB)
    clock.now += 2
    plain.look()
    assert told(capsys) == [
        "put 1 of 3 files, 100.0 MB of 400.0 MB, 50.0 MB/s, 6 s left",
        "put 1 of 3 files, 200.0 MB of 400.0 MB, 50.0 MB/s, 4 s left",
    ]


def test_the_rate_is_that_of_the_last_seconds(plain, clock, capsys):
    plain.expect(1000 * MB)
    for moved in [100] * 10 + [10] * 20 + [0] * 11:
        clock.now += 1
        plain.advance(moved // 2 * MB)
        plain.look()
    lines = told(capsys)
    assert "500.0 MB of 1.0 GB, 50.0 MB/s, 10 s left" in lines[9]
    assert "600.0 MB of 1.0 GB, 5.0 MB/s, 1:20 min left" in lines[29]
    assert lines[-1] == "put 0 of 1 file, 600.0 MB of 1.0 GB, 0 B/s"


def test_of_what_nobody_knows_nothing_is_said(plain, clock, capsys):
    plain.look()
    plain.expect(-1)
    plain.look()
    plain.advance(5 * MB)
    clock.now += 2
    plain.look()
    assert told(capsys) == ["put 0 of 1 file, 5.0 MB, 2.5 MB/s"]


def test_no_total_is_shown_while_files_are_counted(plain, clock, capsys):
    def slowly():
        for _ in range(3):
            clock.now += 1
            yield 10 * MB

    plain.look_ahead(slowly())
    plain.expect(10 * MB)
    plain.advance(5 * MB)
    plain.look()
    plain.look()
    assert told(capsys) == [
        "put 0 files, 5.0 MB, 2.5 MB/s",
        "put 0 of 3 files, 5.0 MB of 30.0 MB, 1.7 MB/s, 15 s left",
    ]


def test_what_grows_or_appears_meanwhile_is_counted_as_it_is_met(as_json, capsys):
    as_json.look_ahead(iter([10]))
    for size in (15, 20):
        as_json.expect(size)
        as_json.advance(size)
    as_json.look()
    (event,) = map(json.loads, told(capsys))
    assert (event["files_expected"], event["bytes_expected"], event["bytes"]) == (2, 35, 35)


def test_what_is_spared_is_not_waited_for(as_json, capsys):
    as_json.look_ahead(iter([10, 20, 30]))
    as_json.file_spared(20)
    as_json.expect(10)
    as_json.advance(10)
    as_json.look()
    (event,) = map(json.loads, told(capsys))
    assert (event["files_expected"], event["bytes_expected"]) == (2, 40)
    as_json.file_done()
    as_json.tell("", failed=0)
    assert told(capsys) == ["put 1 file, 10 B"]


def test_nothing_ahead_is_counted_where_nobody_is_told():
    ahead = iter([1])
    progress = Progress(Ui(quiet=True), "put", "put", "plain")
    progress.look_ahead(ahead)
    with progress:
        progress.look()
    assert list(ahead) == [1]


def test_large_files_are_reported_after_their_transfer(plain, clock, capsys):
    for name, size in (("small", LARGE - 1), ("large", LARGE), ("short pipe", -1), ("pipe", -1)):
        with plain.begin_file(name, size) as moving:
            clock.now += 2
            moving.advance(size if size > 0 else 5 * MB if name == "short pipe" else 50 * MB)
    with suppress(FsError), plain.begin_file("broken", LARGE) as moving:
        moving.advance(LARGE)
        raise FsError
    assert told(capsys) == [
        "large, 8.4 MB, in 2.0 s (4.2 MB/s)",
        "pipe, 50.0 MB, in 2.0 s (25.0 MB/s)",
    ]
    assert plain.bytes == 3 * LARGE - 1 + 55 * MB


def test_names_in_lines_cannot_move_the_cursor(plain, as_json, capsys):
    for progress in (plain, as_json):
        with progress.begin_file("\x1b[2Jé\u202e\n", LARGE) as moving:
            moving.advance(LARGE)
    lines = told(capsys)
    assert len(lines) == 2
    assert "\x1b" not in "".join(lines)
    assert json.loads(lines[1])["path"] == "\x1b[2Jé\u202e\n"


def test_lines_of_json_have_the_same_fields_and_end_with_what_it_came_to(clock, capsys):
    with Progress(Ui(as_json=True), "put", "put", "plain", clock) as progress:
        progress.expect(LARGE)
        with progress.begin_file("a/b", LARGE) as moving:
            moving.advance(LARGE)
            clock.now += 4
        progress.file_done()
    file, last = map(json.loads, told(capsys))
    assert file == {"event": "file", "path": "a/b", "bytes": LARGE, "seconds": 4.0}
    assert last == {
        "event": "progress",
        "files": 1,
        "files_expected": 1,
        "bytes": LARGE,
        "bytes_expected": LARGE,
        "seconds": 4.0,
    }


def test_totals_are_those_of_the_end_of_the_transfer(clock, capsys):
    with Progress(Ui(), "get", "got", "none", clock) as progress:
        progress.folder_done()
        for _ in range(3):
            progress.advance(50 * MB)
            progress.file_done()
        clock.now += 2.5
    clock.now += 60  # the user takes a minute to answer a question
    assert progress.totals() == {
        "files": 3,
        "folders": 1,
        "bytes": 150 * MB,
        "seconds": 2.5,
        "bytes_per_second": 60 * MB,
    }
    progress.tell("into x/", failed=1)
    assert told(capsys) == [
        "got 3 files and 1 folder, 150.0 MB, into x/, in 2.5 s (60.0 MB/s), but 1 failed"
    ]


def test_a_short_transfer_has_no_rate(clock, capsys):
    with Progress(Ui(), "get", "got", "none", clock) as progress:
        progress.advance(5)
        progress.file_done()
    progress.tell("", failed=0)
    assert told(capsys) == ["got 1 file, 5 B"]
    assert progress.totals()["bytes_per_second"] is None


@pytest.mark.parametrize(
    ("as_json", "quiet", "wished", "kind"),
    [
        (False, False, "auto", "none"),  # there is no terminal
        (False, False, "bar", "none"),
        (False, False, "plain", "plain"),
        (False, False, "json", "json"),
        (False, False, "none", "none"),
        (True, False, "auto", "none"),
        (True, False, "plain", "json"),
        (True, False, "json", "json"),
        (False, True, "plain", "none"),
        (True, True, "json", "none"),
    ],
)
def test_progress_has_the_requested_form(as_json, quiet, wished, kind, capsys):
    assert Ui(as_json=as_json, quiet=quiet).progress_kind(wished) == kind
