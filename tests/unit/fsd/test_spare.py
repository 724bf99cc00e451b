from __future__ import annotations

from contextvars import ContextVar
from hashlib import sha256
from threading import Event, get_ident

import pytest

from fsd.workers import IdleWorkers

known: ContextVar[str] = ContextVar("known", default="nothing")


def test_work_is_lent_to_as_many_as_there_are() -> None:
    spare, go_on = IdleWorkers(2), Event()
    lent = [spare.try_submit(go_on.wait) for _ in range(3)]
    assert lent[2] is None
    go_on.set()
    assert [one.result() for one in lent if one] == [True, True]
    spare.close()


def test_who_has_a_result_may_lend_again() -> None:
    spare = IdleWorkers(1)
    for number in range(1000):
        done = spare.try_submit(int, number)
        assert done is not None
        assert done.result() == number
    spare.close()


def test_a_failure_is_the_result_and_its_thread_is_free_again() -> None:
    spare = IdleWorkers(1)
    for _ in range(3):
        done = spare.try_submit(int, "no number")
        assert done is not None
        with pytest.raises(ValueError, match="no number"):
            done.result()
    spare.close()


def test_work_knows_what_its_lender_knows() -> None:
    spare = IdleWorkers(1)
    known.set("the connection")
    done = spare.try_submit(known.get)
    assert done is not None
    assert done.result() == "the connection"
    spare.close()


@pytest.mark.parametrize("count", [0, 1])
def test_two_things_are_done_beside_each_other_or_one_behind_the_other(count: int) -> None:
    spare = IdleWorkers(count)
    where: list[int] = []
    assert spare.beside(get_ident, lambda: where.append(get_ident())) != where[0] or not count
    assert where == [get_ident()]
    spare.close()


@pytest.mark.parametrize("count", [0, 1])
def test_work_has_ended_when_what_was_done_beside_it_fails(count: int) -> None:
    spare, started, done = IdleWorkers(count), Event(), Event()

    def work() -> None:
        started.set()
        sha256(bytes(1 << 25)).digest()  # takes longer than the failure
        done.set()

    def fail() -> None:
        if count:
            started.wait()
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        spare.beside(work, fail)
    assert done.is_set() == bool(count)
    spare.close()
