"""Limits for unauthenticated connections: counts per network and handshake rates."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps

import pytest

from fsd.net.limits import HandshakeLimiter, RateLimit, Unauthenticated


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


def waits(rate: RateLimit, key: str, now_s: float, count: int) -> list[float]:
    """Return when each of some events of a key may start, if each starts as soon as it may."""
    found = []
    for _ in range(count):
        wait = rate.ready_in_s(key, now_s)
        found.append(wait)
        rate.take(key, now_s + wait)
    return found


def test_a_rate_lets_some_through_at_once_and_the_others_at_its_pace():
    assert waits(RateLimit(10, 3), "a", 50.0, 6) == pytest.approx([0, 0, 0, 0.1, 0.2, 0.3])


def test_a_pause_saves_up_turns_and_never_more_than_there_may_be_at_once():
    rate = RateLimit(10, 3)
    waits(rate, "a", 0.0, 3)
    assert waits(rate, "a", 0.1, 2) == pytest.approx([0, 0.1])
    assert waits(rate, "a", 1000.0, 4) == pytest.approx([0, 0, 0, 0.1])


def test_one_network_does_not_wait_for_another():
    rate = RateLimit(1, 1)
    waits(rate, "a", 0.0, 10)
    assert rate.ready_in_s("b", 0.0) == 0


def test_networks_that_have_been_quiet_are_forgotten():
    rate = RateLimit(1, 1)
    for number in range(10_000):
        rate.take(str(number), number * 10.0)
    assert len(rate._buckets) < 5_000


def in_a_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run an asynchronous test."""

    @wraps(test)
    def run() -> None:
        async def main() -> None:
            await test()

        asyncio.run(main())

    return run


def turns_given(queued: list[asyncio.Future[None]]) -> list[int]:
    """Return which of the queued turns have come."""
    return [at for at, turn in enumerate(queued) if turn.done() and not turn.cancelled()]


@in_a_loop
async def test_a_quiet_network_gets_the_next_turn_however_many_wait_of_others():
    limiter = HandshakeLimiter(of_one=1000, of_all=1000, at_once=1000)
    crowd = [limiter.queue(f"crowd {number % 5}") for number in range(400)]
    quiet = limiter.queue("quiet")
    ended: set[int] = set()
    while not quiet.done():
        at = next(at for at in turns_given(crowd) if at not in ended)
        limiter.leave(f"crowd {at % 5}", crowd[at])
        ended.add(at)
    assert len(ended) <= 6  # each of the five crowded networks had a turn before, one of them two


@in_a_loop
async def test_only_so_many_work_at_once():
    limiter = HandshakeLimiter(of_one=1000, of_all=1000, at_once=1000)
    queued = [limiter.queue("a") for _ in range(100)]
    first = turns_given(queued)
    assert 0 < len(first) < 100
    limiter.leave("a", queued[first[0]])
    assert len(turns_given(queued)) == len(first) + 1


@in_a_loop
async def test_a_connection_that_ends_while_it_waits_uses_up_no_turn():
    limiter = HandshakeLimiter(of_one=10, of_all=10, at_once=2)
    queued = [limiter.queue("a") for _ in range(50)]
    for turn in queued[1:49]:
        turn.cancel()
        limiter.leave("a", turn)
    limiter.leave("a", queued[0])
    async with asyncio.timeout(60):
        await queued[49]
    limiter.leave("a", queued[49])


@in_a_loop
async def test_turns_come_at_the_rate_of_all_networks_together():
    limiter = HandshakeLimiter(of_one=1000, of_all=50, at_once=1)
    started = asyncio.get_running_loop().time()
    for number in range(6):
        turn = limiter.queue(str(number))
        await turn
        limiter.leave(str(number), turn)
    assert asyncio.get_running_loop().time() - started >= 5 / 50
