"""Many concurrent logins with one code: exactly one succeeds."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fsd.auth.otp import OtpSetting
from fsd.store.login_models import LoginPenalty
from fsproto.errors import ExistsError, LoginRefused
from tests.support.races import RACERS, entrants, winners, winners_in_processes
from tests.support.services import CHANNEL, Services, ServiceUser, identity

pytestmark = pytest.mark.both_databases

PROCESSES = 4


def _race_in_process(url: str, otp: OtpSetting, now_ms: int, racers: range, start, won) -> None:
    alice = ServiceUser(identity("alice"), otp)
    won.put(_race(url, alice.login(alice.code(now_ms)), now_ms, racers, start))


def _race(url: str, ask, now_ms: int, *those) -> int:
    """Let each racer log in with the same message; return how many logins succeed."""
    return entrants(url, now_ms, lambda service, at: service.login(ask, CHANNEL, at), *those)


def test_of_twenty_logins_with_one_code_in_threads_exactly_one_wins(office, clock, url_at_head):
    alice = _enrolled(office, clock())
    ask = alice.login(alice.code(clock()))
    assert _race(url_at_head, ask, clock()) == 1
    assert office.people.show("alice").sessions == 2


def test_of_twenty_logins_with_one_code_in_processes_exactly_one_wins(office, clock, url_at_head):
    alice = _enrolled(office, clock())
    args = url_at_head, alice.otp, clock()
    assert winners_in_processes(PROCESSES, _race_in_process, *args) == 1
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
    assert winners(lambda _: office.accounts.login(ask, CHANNEL, "192.0.2.1")) == 1


def test_of_twenty_logins_with_one_code_at_both_listeners_exactly_one_succeeds(office, clock):
    alice = _enrolled(office, clock())
    code = alice.code(clock())

    def enter(number: int) -> None:
        address = f"192.0.2.{number}"
        if number % 2:
            office.accounts.login(alice.login(code), CHANNEL, address)
        else:
            office.accounts.ssh.with_code("alice", code, bytes([number]) * 32, address)

    assert winners(enter) == 1
    assert office.people.show("alice").sessions == 2


def test_of_twenty_enrolments_with_one_code_exactly_one_wins(office, clock):
    alice = office.add("alice")
    ask = alice.enrolment(alice.code(clock()))
    assert winners(lambda at: office.accounts.enroll(ask, CHANNEL, f"192.0.2.{at}")) == 1


def test_of_twenty_concurrent_additions_of_a_name_exactly_one_succeeds(office):
    def add(_: int) -> None:
        office.people.add("alice", digits=6, period=30, algorithm="SHA1")

    assert winners(add, refusal=ExistsError) == 1
    assert [person.name for person in office.people.everybody()] == ["alice"]


def _enrolled(office: Services, now_ms: int) -> ServiceUser:
    alice = office.add("alice")
    alice.enrol(office, now_ms, -1)
    return alice
