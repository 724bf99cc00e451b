"""Limits of bandwidth: rates and timetables as typed, and how fast bytes move on a real socket."""

from __future__ import annotations

import socket
import time

import pytest

from fsclient.connection.bandwidth import LEAST, Bandwidth, Rates, parse_timetable

KIB, MIB = 1024, 1024 * 1024
MONDAY, FRIDAY, SATURDAY, SUNDAY = 0, 4, 5, 6


def at(weekday: int, clock: str) -> time.struct_time:
    hour, minute = map(int, clock.split(":"))
    return time.struct_time((2026, 11, 23 + weekday, hour, minute, 0, weekday, 0, 0))


@pytest.mark.parametrize(
    ("text", "up", "down"),
    [
        ("512K", 512 * KIB, 512 * KIB),
        ("10M", 10 * MIB, 10 * MIB),
        ("10M:1M", 10 * MIB, MIB),
        ("off:100k", None, 100 * KIB),
        ("1.5MiB:off", 3 * MIB // 2, None),
        ("off", None, None),
        ("8K", LEAST, LEAST),
    ],
)
def test_one_rate_is_for_all_times(text, up, down):
    for weekday in range(7):
        assert parse_timetable(text).at(at(weekday, "03:04")) == Rates(up, down)


@pytest.mark.parametrize(
    ("weekday", "clock", "rate"),
    [
        (MONDAY, "08:00", 512 * KIB),
        (MONDAY, "11:59", 512 * KIB),
        (FRIDAY, "12:00", 10 * MIB),
        (SUNDAY, "23:59", None),
        (MONDAY, "00:00", None),
        (SATURDAY, "07:59", None),
    ],
)
def test_a_timetable_holds_every_day_and_over_midnight(weekday, clock, rate):
    table = parse_timetable("08:00,512K 12:00,10M 18:00,off")
    assert table.at(at(weekday, clock)) == Rates(rate, rate)


@pytest.mark.parametrize(
    ("weekday", "clock", "rate"),
    [
        (MONDAY, "00:00", 512 * KIB),
        (FRIDAY, "23:58", 512 * KIB),
        (FRIDAY, "23:59", 10 * MIB),
        (SATURDAY, "10:00", MIB),
        (SUNDAY, "19:59", MIB),
        (SUNDAY, "20:00", None),
    ],
)
def test_a_timetable_may_name_days(weekday, clock, rate):
    table = parse_timetable("Mon-00:00,512K Fri-23:59,10M sat-10:00,1M Sun-20:00,off")
    assert table.at(at(weekday, clock)) == Rates(rate, rate)


def test_a_time_of_one_day_counts_more_than_the_same_time_of_all_days():
    table = parse_timetable("Sat-08:00,off 08:00,1M:2M")
    assert table.at(at(SATURDAY, "08:00")) == Rates(None, None)
    assert table.at(at(SUNDAY, "08:00")) == Rates(MIB, 2 * MIB)


@pytest.mark.parametrize(
    "text",
    ["", " ", "512", "fast", "1K", "-1M", "10 XB", "10M:", ":", "10M:1M:1M", "08:00", "08:00,",
     "25:00,1M", "08:60,1M", "8:00,1M", "Foo-08:00,1M", "08:00,1M 512K", "08:00,5"],
)  # fmt: skip
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(ValueError):
        parse_timetable(text)


class Wait:
    """A clock that only a sleep moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def limited(text: str, wait: Wait, weekday: int = MONDAY) -> Bandwidth:
    return Bandwidth(
        parse_timetable(text),
        clock=lambda: wait.now_s,
        local_time=lambda: at(weekday, "12:00"),
        sleep=wait.sleep,
    )


def test_bytes_take_their_time_in_each_direction_apart():
    wait = Wait()
    bandwidth = limited("1M:2M", wait)
    for _ in range(100):
        bandwidth.moved("up", 100 * KIB)
    assert wait.now_s - 1000 == pytest.approx(100 * 100 * KIB / MIB, abs=0.2)
    before_s = wait.now_s
    for _ in range(100):
        bandwidth.moved("down", 100 * KIB)
    assert wait.now_s - before_s == pytest.approx(100 * 100 * KIB / (2 * MIB), abs=0.2)


def test_time_without_bytes_is_not_made_up_for():
    wait = Wait()
    bandwidth = limited("1M", wait)
    wait.now_s += 3600
    for _ in range(10):
        bandwidth.moved("up", 1 * MIB)
    assert wait.now_s - 4600 == pytest.approx(10, abs=0.2)


def test_off_is_no_limit():
    wait = Wait()
    bandwidth = limited("off", wait)
    bandwidth.moved("up", 1 << 40)
    assert bandwidth.piece("up") is None
    assert wait.now_s == 1000


def test_a_socket_moves_bytes_no_faster_than_its_limit():
    size = 400 * KIB
    one, other = socket.socketpair()
    with one, other:
        sending = Bandwidth(parse_timetable("800K:off")).on(one)
        receiving = Bandwidth(parse_timetable("off")).on(other)
        room, started_s, left = memoryview(bytearray(size)), time.monotonic(), size
        got = 0
        while left:
            left -= sending.send(memoryview(bytes(left)))
            while got < size - left:
                got += receiving.recv_into(room[got:])
        assert time.monotonic() - started_s > 0.35
