"""One code, many who use it at the same moment: exactly one gets in."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from fsd.auth.otp import OtpSetting
from fsd.store.engine import Database
from fsd.store.login_models import LoginPenalty
from fsproto.errors import ExistsError, LoginRefused
from tests.people import CHANNEL, Office, Resident, accounts, identity

RACERS = 20
PROCESSES = 4


def _race(url: str, ask, now_ms: int, racers: range, start) -> int:
    """Log in with one message from as many threads as there are racers; return how many got in."""
    ready = threading.Barrier(len(racers) + 1)

    def race(number: int) -> bool:
        ready.wait()
        try:
            # Each from an address of its own: it is the code that decides, not the throttle.
            service.login(ask, CHANNEL, f"192.0.2.{number}")
        except LoginRefused:
            return False
        return True

    with closing(Database(url)) as database, ThreadPoolExecutor(len(racers)) as pool:
        service = accounts(database, lambda: now_ms)
        running = [pool.submit(race, number) for number in racers]
        start()
        ready.wait()
        return sum(each.result() for each in running)


def _race_in_process(url: str, otp: OtpSetting, now_ms: int, first: int, start, won) -> None:
    alice = Resident(identity("alice"), otp)
    racers = range(first, first + RACERS // PROCESSES)
    won.put(_race(url, alice.login(alice.code(now_ms)), now_ms, racers, start.wait))


def test_of_twenty_logins_with_one_code_in_threads_exactly_one_wins(office, clock, url_at_head):
    alice = _enrolled(office, clock())
    ask = alice.login(alice.code(clock()))
    assert _race(url_at_head, ask, clock(), range(RACERS), lambda: None) == 1
    assert office.people.show("alice").sessions == 2


def test_of_twenty_logins_with_one_code_in_processes_exactly_one_wins(office, clock, url_at_head):
    alice = _enrolled(office, clock())
    processes = multiprocessing.get_context("spawn")
    start, won = processes.Barrier(PROCESSES), processes.SimpleQueue()
    running = [
        processes.Process(
            target=_race_in_process,
            args=(url_at_head, alice.otp, clock(), number * RACERS // PROCESSES, start, won),
        )
        for number in range(PROCESSES)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * PROCESSES
    assert sum(won.get() for _ in running) == 1
    assert office.people.show("alice").sessions == 2


def test_of_a_hundred_guesses_at_once_five_are_looked_at(office, clock):
    alice = _enrolled(office, clock())
    ready = threading.Barrier(RACERS)

    def guess(_: int) -> None:
        ready.wait()
        with pytest.raises(LoginRefused):
            office.accounts.login(alice.login("000000"), CHANNEL, "192.0.2.1")

    with ThreadPoolExecutor(RACERS) as pool:
        list(pool.map(guess, range(5 * RACERS)))
    with office.database.read() as db:
        (penalty,) = db.query(LoginPenalty)
        assert penalty.failures == 5


def test_of_twenty_logins_with_one_code_from_one_address_exactly_one_wins(office, clock):
    alice = _enrolled(office, clock())
    ask = alice.login(alice.code(clock()))
    ready = threading.Barrier(RACERS)

    def race(_: int) -> bool:
        ready.wait()
        try:
            office.accounts.login(ask, CHANNEL, "192.0.2.1")
        except LoginRefused:
            return False
        return True

    with ThreadPoolExecutor(RACERS) as pool:
        assert sum(pool.map(race, range(RACERS))) == 1


def test_of_twenty_enrolments_with_one_code_exactly_one_wins(office, clock):
    alice = office.add("alice")
    ask = alice.enrolment(alice.code(clock()))
    ready = threading.Barrier(RACERS)

    def race(number: int) -> bool:
        ready.wait()
        try:
            office.accounts.enroll(ask, CHANNEL, f"192.0.2.{number}")
        except LoginRefused:
            return False
        return True

    with ThreadPoolExecutor(RACERS) as pool:
        assert sum(pool.map(race, range(RACERS))) == 1


def test_of_twenty_who_add_one_name_exactly_one_does(office):
    ready = threading.Barrier(RACERS)

    def race(_: int) -> bool:
        ready.wait()
        try:
            office.people.add("alice", digits=6, period=30, algorithm="SHA1")
        except ExistsError:
            return False
        return True

    with ThreadPoolExecutor(RACERS) as pool:
        assert sum(pool.map(race, range(RACERS))) == 1
    assert [person.name for person in office.people.everybody()] == ["alice"]


def _enrolled(office: Office, now_ms: int) -> Resident:
    alice = office.add("alice")
    alice.enrol(office, now_ms, -1)
    return alice
