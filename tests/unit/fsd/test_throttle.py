"""The throttle: guesses are slowed down, and a guesser cannot lock out other users."""

from __future__ import annotations

import pytest

from fsd.audit.admin import AuditAdmin
from fsd.audit.rows import EntryFilter
from fsd.auth.throttle import Allowance, Lane, Penalty, lanes, network_of
from fsd.blobs.janitor import Janitor
from fsd.home.home import Home
from fsd.policies import LoginPolicy
from fsd.store.login_models import LoginPenalty
from fsproto.errors import LoginRefused, NotFoundError, SecurityError
from tests.support.services import (
    ADDRESS,
    CHANNEL,
    Clock,
    Services,
    ServiceUser,
    accounts,
    identity,
)

pytestmark = pytest.mark.both_databases

GUESSER = "203.0.113.9"
HUGE = "a" * 1_000_000
POLICY = LoginPolicy()
HOUR_S = 3600


def enrolled(office: Services, clock: Clock, name: str = "alice") -> ServiceUser:
    """Return a user who enrolled with the previous code."""
    person = office.add(name)
    person.enrol(office, clock(), -1)
    return person


def stranger(victim: ServiceUser) -> ServiceUser:
    """Return an attacker with a user's name and codes, but without the identity key."""
    return ServiceUser(identity(victim.name, "other"), victim.otp)


def refused(office: Services, ask, address: str = ADDRESS) -> bool:
    call = office.accounts.enroll if hasattr(ask, "bundle") else office.accounts.login
    with pytest.raises((LoginRefused, SecurityError)):
        call(ask, CHANNEL, address)
    return True


def enters(office: Services, clock: Clock, person: ServiceUser, address: str = ADDRESS) -> bool:
    """Return whether a user can log in with the current code."""
    try:
        office.accounts.login(person.login(person.code(clock())), CHANNEL, address)
    except LoginRefused:
        return False
    return True


# --- the rules, as numbers

ALLOWED = Allowance(free=3, first_ms=10, longest_ms=100, forget_ms=1000)


def test_a_few_refusals_are_free_and_every_further_one_doubles_the_wait():
    penalty, waits = Penalty(), []
    for now in range(8):
        penalty = penalty.after_refusal(ALLOWED, now)
        waits.append(max(0, penalty.until_ms - now))
    assert waits == [0, 0, 10, 20, 40, 80, 100, 100]


def test_a_login_that_started_before_the_last_free_refusal_does_not_wait():
    penalty = Penalty()
    for _ in range(ALLOWED.free - 1):
        penalty = penalty.after_refusal(ALLOWED, 1_000)
        assert not penalty.holds(999)
    assert penalty.after_refusal(ALLOWED, 1_000).holds(999)


def test_a_wait_does_not_overflow_after_ever_so_many_refusals():
    penalty = Penalty(10**9, 0, 0).after_refusal(ALLOWED, 5)
    assert penalty == Penalty(10**9 + 1, 5, 105)


def test_refusals_are_forgotten_after_a_quiet_time():
    penalty = Penalty(50, 1000, 1100)
    assert penalty.after_refusal(ALLOWED, 1999).failures == 51
    assert penalty.after_refusal(ALLOWED, 2000) == Penalty(1, 2000)


def test_a_wait_ends_when_it_is_over():
    assert Penalty(3, 0, 10).holds(9)
    assert not Penalty(3, 0, 10).holds(10)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::2%eth0", "fe80::/64"),
        ("?", "?"),
    ],
)
def test_a_guesser_is_known_by_what_one_guesser_has(address, network):
    assert network_of(address) == network


def test_attempts_with_the_identity_key_have_a_separate_lane():
    assert lanes("alice", "192.0.2.7", known=True) == [Lane("alice", "")]
    assert set(lanes("alice", "192.0.2.7", known=False)) == {
        Lane("alice", "192.0.2.7"),
        Lane("", "192.0.2.7"),
    }


# --- at login


@pytest.mark.one_database
def test_after_five_refused_tries_even_the_right_code_waits(office, clock):
    alice = enrolled(office, clock)
    for _ in range(5):
        assert refused(office, alice.login("000000"))
    clock.forward(29.999)
    assert not enters(office, clock, alice)
    clock.forward(0.001)
    assert enters(office, clock, alice)


@pytest.mark.one_database
def test_four_refused_tries_are_a_persons_right(office, clock):
    alice = enrolled(office, clock)
    for _ in range(4):
        assert refused(office, alice.login("000000"))
    assert enters(office, clock, alice)


@pytest.mark.one_database
def test_the_wait_grows_with_every_refusal_and_a_login_ends_it(office, clock):
    alice = enrolled(office, clock)
    for _ in range(4):
        assert refused(office, alice.login("000000"))
    for wait_s in (30, 60, 120, 240, 480, 900, 900):
        assert refused(office, alice.login("000000"))
        clock.forward(wait_s - 1)
        assert not enters(office, clock, alice)
        clock.forward(1)
    assert enters(office, clock, alice)
    clock.forward(30)
    for _ in range(4):
        assert refused(office, alice.login("000000"))
    assert enters(office, clock, alice)


@pytest.mark.one_database
def test_throttled_tries_do_not_lengthen_the_wait_and_are_not_recorded(office, clock, tmp_path):
    alice = enrolled(office, clock)
    for _ in range(5):
        assert refused(office, alice.login("000000"))
    for _ in range(29):
        clock.forward(1)
        assert refused(office, alice.login("000000"))
    clock.forward(1)
    assert enters(office, clock, alice)
    keeper = AuditAdmin(Home(tmp_path), office.database, office.audit, "test")
    events = [entry.event for entry in keeper.entries(EntryFilter(about="alice"))]
    assert events.count("login-refused") == 5


@pytest.mark.one_database
def test_a_session_continues_while_codes_are_guessed(office, clock):
    alice = enrolled(office, clock)
    for _ in range(9):
        assert refused(office, alice.login("000000"))
    office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, ADDRESS)


@pytest.mark.one_database
def test_no_stranger_keeps_a_person_out_not_even_from_the_same_address(office, clock):
    alice = enrolled(office, clock)
    guesser = stranger(alice)
    for number in range(120):  # more than lock an account whose key the guesser has
        assert refused(office, guesser.login("000000"), f"203.0.113.{number % 80}")
        assert refused(office, guesser.login("000000"), ADDRESS)
        assert refused(office, guesser.enrolment("000000"), ADDRESS)
        clock.forward(10)
    assert office.people.show("alice").locked_ms is None
    assert enters(office, clock, alice)


@pytest.mark.one_database
def test_an_address_is_throttled_for_one_name_and_then_for_all_names(office, clock):
    victims = [office.add(f"user{number}") for number in range(6)]
    for victim in victims[:4]:
        for _ in range(5):
            assert refused(office, victim.enrolment("000000"), GUESSER)
    # After twenty refusals, the server refuses requests from this address without a known key.
    right = victims[5].enrolment(victims[5].code(clock()))
    assert refused(office, right, GUESSER)
    office.accounts.enroll(right, CHANNEL, ADDRESS)


@pytest.mark.one_database
def test_a_person_at_the_address_of_a_guesser_logs_in_with_the_identity_key(office, clock):
    bob = enrolled(office, clock, "bob")
    for number in range(40):
        assert refused(office, bob.login("000000", user=f"user{number}"), GUESSER)
    assert enters(office, clock, bob, GUESSER)


@pytest.mark.one_database
def test_a_guesser_does_not_clear_their_address_by_logging_in_themselves(office, clock):
    mallory, victim = enrolled(office, clock, "mallory"), office.add("victim")
    for number in range(4):
        for _ in range(5):
            assert refused(office, mallory.login("000000", user=f"user{number}"), GUESSER)
    assert enters(office, clock, mallory, GUESSER)
    assert refused(office, victim.enrolment(victim.code(clock())), GUESSER)


@pytest.mark.one_database
def test_guessing_at_an_enrolment_is_slowed_down_too(office, clock):
    alice = office.add("alice")
    for _ in range(5):
        assert refused(office, alice.enrolment("000000"))
    assert refused(office, alice.enrolment(alice.code(clock())))
    clock.forward(30)
    alice.enrol(office, clock())


@pytest.mark.cases(4)
@pytest.mark.parametrize("name", ["nobody", "no\0body", HUGE, "' OR 1=1 --", "\ud800"])
@pytest.mark.one_database
def test_an_unknown_name_is_throttled_like_any_other(office, clock, name):
    alice = office.add("alice")
    for _ in range(7):
        assert refused(office, alice.login("000000", user=name))
    with office.database.read() as db:
        kept = {(row.user, row.network): row.failures for row in db.query(LoginPenalty)}
    assert sorted(kept.values()) == [5, 5]
    assert all(len(user) <= 64 for user, _ in kept)


@pytest.mark.one_database
def test_another_node_and_a_restart_forget_nothing(office, clock):
    alice = enrolled(office, clock)
    for _ in range(5):
        assert refused(office, alice.login("000000"))
    other = accounts(office.database, clock)
    with pytest.raises(LoginRefused):
        other.login(alice.login(alice.code(clock())), CHANNEL, ADDRESS)


@pytest.mark.one_database
def test_the_operator_decides_how_many_tries_there_are(office, clock):
    alice = enrolled(office, clock)
    strict = accounts(office.database, clock, LoginPolicy(free_tries=1, first_wait_ms=5000))
    with pytest.raises(LoginRefused):
        strict.login(alice.login("000000"), CHANNEL, ADDRESS)
    assert not enters(office, clock, alice)
    clock.forward(5)
    assert enters(office, clock, alice)


def test_what_was_refused_long_ago_is_deleted(office, clock):
    alice = enrolled(office, clock)
    assert refused(office, alice.login("000000"))
    clock.forward(25 * HOUR_S)
    Janitor(office.database, office.blobs, clock).run()
    with office.database.read() as db:
        assert db.query(LoginPenalty).count() == 0


# --- the cap


def guess(office: Services, clock: Clock, person: ServiceUser, count: int) -> None:
    """Make `count` logins of a user fail, and wait out the throttle each time."""
    for _ in range(count):
        assert refused(office, person.login("000000"))
        clock.forward(POLICY.longest_wait_ms / 1000)


@pytest.mark.one_database
def test_a_hundred_refusals_in_a_row_lock_an_account_until_it_is_unlocked(office, clock):
    alice = enrolled(office, clock)
    guess(office, clock, alice, 99)
    assert office.people.show("alice").locked_ms is None
    guess(office, clock, alice, 1)
    assert office.people.show("alice").locked_ms is not None
    clock.forward(1000 * HOUR_S)
    assert not enters(office, clock, alice)
    office.access.unlock("alice")
    assert enters(office, clock, alice)
    assert office.people.show("alice").locked_ms is None


@pytest.mark.one_database
def test_a_login_resets_the_count(office, clock):
    alice = enrolled(office, clock)
    guess(office, clock, alice, 99)
    assert enters(office, clock, alice)
    guess(office, clock, alice, 99)
    assert enters(office, clock, alice)


@pytest.mark.one_database
def test_an_enrolment_is_locked_after_refusals_from_many_addresses(office, clock):
    alice = office.add("alice")
    for number in range(100):
        assert refused(office, alice.enrolment("000000"), f"198.51.100.{number}")
    assert refused(office, alice.enrolment(alice.code(clock())))
    office.access.unlock("alice")
    alice.enrol(office, clock())


def test_a_locked_account_keeps_its_sessions_and_refuses_recovery_codes(office, clock):
    alice = enrolled(office, clock)
    codes = office.access.recovery_codes("alice")
    strict = accounts(office.database, clock, LoginPolicy(most_failures=1))
    with pytest.raises(LoginRefused):
        strict.login(alice.login("000000"), CHANNEL, ADDRESS)
    assert refused(office, alice.login(codes[0]))
    office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, ADDRESS)
    office.access.unlock("alice")
    office.accounts.login(alice.login(codes[0]), CHANNEL, ADDRESS)


def test_unlocking_also_ends_waits_wherever_they_are(office, clock):
    alice = office.add("alice")
    for address in (ADDRESS, GUESSER):
        for _ in range(5):
            assert refused(office, alice.enrolment("000000"), address)
    assert office.people.show("alice").held_until_ms > clock()
    office.access.unlock("alice")
    assert office.people.show("alice").held_until_ms == 0
    alice.enrol(office, clock())


def test_an_unknown_account_cannot_be_unlocked(office):
    with pytest.raises(NotFoundError):
        office.access.unlock("nobody")
