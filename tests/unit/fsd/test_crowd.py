"""What strangers may have of the door, as rules over numbers."""

from __future__ import annotations

import pytest

from fsd.net.limits import RateLimit, Unauthenticated


def test_there_is_room_until_one_network_has_too_many_and_then_its_oldest_leaves():
    room: Unauthenticated[int] = Unauthenticated(most=100, most_of_one=3)
    assert [room.enter("a", number) for number in range(5)] == [None, None, None, 0, 1]
    assert room.enter("b", 10) is None
    assert len(room) == 4


def test_where_there_are_too_many_in_all_the_most_crowded_network_makes_room():
    room: Unauthenticated[int] = Unauthenticated(most=4, most_of_one=3)
    for number in range(3):
        assert room.enter("crowd", number) is None
    assert room.enter("quiet", 10) is None
    assert room.enter("another", 20) == 0
    assert room.enter("a fourth", 30) == 1
    assert len(room) == 4


def test_who_logged_in_makes_room_and_leaving_twice_is_harmless():
    room: Unauthenticated[int] = Unauthenticated(most=2, most_of_one=2)
    room.enter("a", 1)
    room.enter("a", 2)
    room.leave("a", 1)
    room.leave("a", 1)
    room.leave("nowhere", 7)
    assert len(room) == 1
    assert room.enter("a", 3) is None
    assert room.enter("a", 4) == 2


def test_a_rate_lets_some_through_at_once_and_the_others_at_its_pace():
    rate = RateLimit(10, 3, longest_s=100)
    waits = [rate.wait_s("a", 50.0) for _ in range(6)]
    assert waits == pytest.approx([0, 0, 0, 0.1, 0.2, 0.3])


def test_a_pause_saves_up_turns_and_never_more_than_there_may_be_at_once():
    rate = RateLimit(10, 3, longest_s=100)
    for _ in range(3):
        rate.wait_s("a", 0.0)
    assert rate.wait_s("a", 0.1) == pytest.approx(0)
    assert rate.wait_s("a", 0.1) == pytest.approx(0.1)
    assert [rate.wait_s("a", 1000.0) for _ in range(4)] == pytest.approx([0, 0, 0, 0.1])


def test_who_would_wait_too_long_is_told_at_once_and_takes_no_turn():
    rate = RateLimit(1, 1, longest_s=2)
    assert [rate.wait_s("a", 0.0) for _ in range(3)] == pytest.approx([0, 1, 2])
    assert rate.wait_s("a", 0.0) is None
    assert rate.wait_s("a", 1.0) == pytest.approx(2)


def test_one_network_does_not_wait_for_another():
    rate = RateLimit(1, 1, longest_s=100)
    for _ in range(10):
        rate.wait_s("a", 0.0)
    assert rate.wait_s("b", 0.0) == 0


def test_networks_that_have_been_quiet_are_forgotten():
    rate = RateLimit(1, 1, longest_s=100)
    for number in range(10_000):
        rate.wait_s(str(number), number * 10.0)
    assert len(rate._buckets) < 5_000
