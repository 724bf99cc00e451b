"""Every code works once: one-time passwords, recovery codes, new secrets, wrong clocks."""

from __future__ import annotations

import contextlib

import pytest
from sqlalchemy import text

from fsd.audit.events import AuditEvent
from fsd.auth import recovery_codes
from fsd.auth.otp import OtpSetting, learned_drift, matching_step
from fsd.principal import Principal
from fsd.store.login_models import RecoveryCode
from fsproto.errors import LoginRefused, NotFoundError
from fsproto.messages.account import Notice, Welcome
from tests.support import fixed_keys
from tests.support.races import winners
from tests.support.services import (
    ADDRESS,
    CHANNEL,
    Clock,
    Services,
    ServiceUser,
    audited,
    identity,
)

ELSEWHERE = "203.0.113.9"
STEP_MS = 30_000


@pytest.fixture
def alice(office: Services, clock: Clock) -> ServiceUser:
    """A user who enrolled with the previous code."""
    person = office.add("alice")
    person.enrol(office, clock(), -1)
    return person


@pytest.fixture
def log_in(office: Services, alice: ServiceUser):
    """Log alice in with a code."""

    def log_in(code: str, address: str = ADDRESS) -> tuple[Principal, Welcome]:
        return office.accounts.login(alice.login(code), CHANNEL, address)

    return log_in


def refused(log_in, *codes: str, address: str = ADDRESS) -> bool:
    for code in codes:
        with pytest.raises(LoginRefused):
            log_in(code, address)
    return True


# --- recovery codes


def test_a_recovery_code_has_120_bits_and_no_character_that_is_taken_for_another():
    codes = recovery_codes.new_codes(fixed_keys.Seeded("codes"))
    assert len(set(codes)) == recovery_codes.COUNT == 10
    assert all(len(code.replace("-", "")) == 24 for code in codes)
    assert len(recovery_codes.ALPHABET) == 32  # 5 bits each
    assert not set("OILU") & set(recovery_codes.ALPHABET)
    assert set("".join(codes)) - {"-"} <= set(recovery_codes.ALPHABET)


@pytest.mark.parametrize("typed", ["", "A" * 23, "A" * 25, "U" * 24, "\u00e4" * 24, "0" * 6])
def test_an_impossible_recovery_code_is_not_read_as_one(typed):
    assert recovery_codes.canonical(typed) is None


def test_a_recovery_code_is_read_as_people_type_it():
    assert recovery_codes.canonical("oil0" * 6) == "0110" * 6


def test_each_recovery_code_lets_its_owner_in_once(office, alice, log_in):
    codes = office.access.recovery_codes("alice")
    for code in codes:
        log_in(code)
        assert refused(log_in, code)
        office.access.unlock("alice")
    assert office.people.show("alice").recovery_codes == 0


def test_a_recovery_code_typed_in_another_way_is_the_same_code(office, alice, log_in):
    first, second, *_ = office.access.recovery_codes("alice")
    log_in(f" {first.lower().replace('-', ' ')}\n")
    assert refused(log_in, first, first.replace("-", ""), first.lower())
    log_in(second.replace("0", "o").replace("1", "l"))
    assert refused(log_in, second)


def test_a_recovery_code_enrols_a_person_once(office, clock):
    bob = office.add("bob")
    code, *_ = office.access.recovery_codes("bob")
    office.accounts.enroll(bob.enrolment(code), CHANNEL, ADDRESS)
    with pytest.raises(LoginRefused):
        office.accounts.enroll(bob.enrolment(code), CHANNEL, ADDRESS)


def test_recovery_codes_are_of_no_use_to_others_or_without_the_key(office, alice, clock):
    code, *_ = office.access.recovery_codes("alice")
    bob = office.add("bob")
    bob.enrol(office, clock(), -1)
    thief = ServiceUser(identity("alice", "other"), alice.otp)
    for person in (bob, thief):
        with pytest.raises(LoginRefused):
            office.accounts.login(person.login(code), CHANNEL, ADDRESS)
    office.accounts.login(alice.login(code), CHANNEL, ADDRESS)


def test_new_recovery_codes_make_the_earlier_ones_void(office, alice, log_in):
    old, *_ = office.access.recovery_codes("alice")
    new, *_ = office.access.recovery_codes("alice")
    assert refused(log_in, old)
    log_in(new)


def test_recovery_codes_lie_in_the_database_as_hashes(office, alice):
    codes = office.access.recovery_codes("alice")
    with office.database.read() as db:
        hashes = [row.code_hash for row in db.query(RecoveryCode)]
    assert len(hashes) == 10
    everything = b"".join(hashes)
    assert not any(code.replace("-", "").encode() in everything for code in codes)


def test_of_twenty_logins_with_one_recovery_code_exactly_one_succeeds(office, alice):
    code, *_ = office.access.recovery_codes("alice")
    login = office.accounts.login
    assert winners(lambda number: login(alice.login(code), CHANNEL, f"192.0.2.{number}")) == 1


def test_people_make_recovery_codes_with_a_code_and_not_without(office, alice, clock, log_in):
    assert alice.principal is not None
    own = office.accounts.own
    for wrong in ("000000", "", alice.code(clock(), -1)):
        with pytest.raises(LoginRefused):
            own.make_recovery_codes(alice.principal, wrong)
    assert office.people.show("alice").recovery_codes == 0
    code = alice.code(clock())
    made = own.make_recovery_codes(alice.principal, code).codes
    assert refused(log_in, code)  # it was consumed
    log_in(made[3])
    again = own.make_recovery_codes(alice.principal, made[4]).codes
    assert refused(log_in, made[5])
    log_in(again[0])


def test_guessing_over_a_session_is_throttled_like_guessing_at_the_login(office, alice, clock):
    assert alice.principal is not None
    own = office.accounts.own
    told = set()
    for code in ["000000"] * 5 + [alice.code(clock())]:
        with pytest.raises(LoginRefused) as refusal:
            own.rotate_secret(alice.principal, code)
        told.add(refusal.value.sentence)
    assert len(told) == 1
    assert told.pop().startswith("The code was refused")


def test_a_removed_or_disabled_user_can_do_nothing_over_an_open_connection(office, alice, clock):
    assert alice.principal is not None
    own = office.accounts.own
    office.people.set_disabled("alice", disabled=True)
    with pytest.raises(LoginRefused):
        own.make_recovery_codes(alice.principal, alice.code(clock()))
    office.people.remove("alice")
    with pytest.raises(LoginRefused):
        own.make_recovery_codes(alice.principal, alice.code(clock()))
    office.add("alice")  # a new user with the same name
    with pytest.raises(LoginRefused):
        own.make_recovery_codes(alice.principal, alice.code(clock()))


# --- a new secret


def renewed(alice: ServiceUser, otp: OtpSetting) -> ServiceUser:
    return ServiceUser(alice.identity, otp)


def test_the_old_secret_works_until_the_new_one_is_used(office, alice, clock, log_in):
    new = renewed(alice, office.access.rotate_secret("alice").otp)
    assert office.people.show("alice").new_secret_ms == clock()
    log_in(alice.code(clock()))
    clock.forward(60)
    log_in(alice.code(clock()))
    log_in(new.code(clock()))  # even in a step in which the old secret was used
    assert office.people.show("alice").new_secret_ms is None
    clock.forward(60)
    assert refused(log_in, alice.code(clock()), alice.code(clock(), 1))
    log_in(new.code(clock()))


def test_the_first_code_of_the_new_secret_works_once_too(office, alice, clock, log_in):
    new = renewed(alice, office.access.rotate_secret("alice").otp)
    code = new.code(clock())
    log_in(code)
    assert refused(log_in, code, new.code(clock(), -1))


def test_of_twenty_logins_with_the_first_code_of_a_new_secret_exactly_one_succeeds(
    office, alice, clock
):
    new = renewed(alice, office.access.rotate_secret("alice").otp)
    ask = alice.login(new.code(clock()))
    assert winners(lambda _: office.accounts.login(ask, CHANNEL, ADDRESS)) == 1


def test_a_second_new_secret_replaces_the_first_that_was_never_used(office, alice, clock, log_in):
    lost = renewed(alice, office.access.rotate_secret("alice").otp)
    new = renewed(alice, office.access.rotate_secret("alice").otp)
    assert refused(log_in, lost.code(clock()))
    log_in(new.code(clock()))


def test_at_once_ends_the_old_secret_and_one_that_waits(office, alice, clock, log_in):
    waiting = renewed(alice, office.access.rotate_secret("alice").otp)
    new = renewed(alice, office.access.rotate_secret("alice", at_once=True).otp)
    assert refused(log_in, alice.code(clock()), waiting.code(clock()))
    log_in(new.code(clock()))


def test_people_make_a_new_secret_and_confirm_it(office, alice, clock, log_in):
    assert alice.principal is not None
    own = office.accounts.own
    made = own.rotate_secret(alice.principal, alice.code(clock()))
    new = renewed(alice, OtpSetting(made.secret, made.digits, made.period, made.algorithm))
    for not_the_new_one in (alice.code(clock(), 1), "000000"):
        with pytest.raises(LoginRefused):
            own.confirm_secret(alice.principal, not_the_new_one)
    log_in(alice.code(clock(), 1))  # the old secret still works; its code was not consumed
    own.confirm_secret(alice.principal, new.code(clock()))
    clock.forward(60)
    assert refused(log_in, alice.code(clock()))
    log_in(new.code(clock()))


def test_without_a_new_secret_there_is_nothing_to_be_confirmed(office, alice, clock):
    assert alice.principal is not None
    with pytest.raises(LoginRefused):
        office.accounts.own.confirm_secret(alice.principal, alice.code(clock()))


def test_a_new_secret_is_sealed_like_the_other(office, alice):
    made = office.access.rotate_secret("alice").otp
    with office.database.read() as db:
        (sealed,) = db.execute(text("SELECT next_secret FROM users")).scalars()
    assert made.secret.encode() not in sealed
    assert office.vault.open(sealed, alice.principal.user_id) == made.secret


# --- wrong clocks


def test_a_clock_that_goes_wrong_slowly_is_followed_and_shown(office, alice, clock, log_in):
    for off_s in range(0, 100, 4):  # the clock gains four seconds per login
        clock.forward(3600)
        log_in(alice.code(clock() + off_s * 1000))
    shown = office.people.show("alice").clock_ms
    assert 60_000 < shown <= 100_000
    # Codes with this offset are accepted only because the server has learned the drift.
    clock.forward(3600)
    log_in(alice.code(clock() + 90_000))


def test_a_clock_that_is_far_off_at_once_is_refused(office, alice, clock, log_in):
    clock.forward(3600)
    assert refused(log_in, alice.code(clock() + 90_000), alice.code(clock() - 90_000))


def test_a_clock_is_never_followed_beyond_two_minutes(office, alice, clock, log_in):
    with contextlib.suppress(LoginRefused):
        for off_s in range(0, 1000, 4):
            clock.forward(3600)
            log_in(alice.code(clock() + off_s * 1000))
    assert 100_000 < office.people.show("alice").clock_ms <= 120_000


def test_a_code_that_was_taken_for_a_clock_that_is_off_works_once(office, alice, clock, log_in):
    for off_s in range(0, 80, 4):
        clock.forward(3600)
        code = alice.code(clock() + off_s * 1000)
        log_in(code)
        assert refused(log_in, code)


def test_who_types_late_now_and_then_has_a_clock_that_is_right(office, alice, clock, log_in):
    for late in (0, 1, 0, 0, 1, 0):
        clock.forward(3610)
        log_in(alice.code(clock() - late * STEP_MS))
    assert abs(office.people.show("alice").clock_ms) <= STEP_MS
    log_in(alice.code(clock(), 1))


@pytest.mark.parametrize("late_ms", [STEP_MS, 2 * STEP_MS - 1])
def test_one_late_code_does_not_widen_the_accepted_window(office, alice, clock, log_in, late_ms):
    for _ in range(20):  # punctual codes; the enrolment used the code before
        clock.forward(3600)
        log_in(alice.code(clock()))
    started = clock() // STEP_MS * STEP_MS
    clock.ms = started + STEP_MS + late_ms
    log_in(alice.code(started + STEP_MS))
    clock.forward(3600)
    assert refused(log_in, alice.code(clock(), -2), alice.code(clock(), 2))


def test_a_known_drift_takes_nothing_from_the_codes_that_always_count():
    otp = OtpSetting("A" * 32)
    now = 1_000_000 * STEP_MS
    for drift in (-120_000, -60_000, 0, 60_000, 120_000):
        found = [matching_step(otp, otp.code(1_000_000 + off), now, drift) for off in (-1, 0, 1)]
        assert None not in found


@pytest.mark.parametrize(
    ("drift_ms", "step", "learned"),
    [
        (0, 10, 0),  # of the current step
        (0, 11, 17_500),  # its middle is 35 s from now: half of that
        (0, 9, -12_500),
        (20_000, 11, 27_500),
        (40_000, 10, 20_000),
        (119_000, 20, 120_000),  # limited to the largest drift
        (-119_000, 0, -120_000),
    ],
)
def test_what_is_learned_of_a_clock(drift_ms, step, learned):
    otp, now = OtpSetting("A" * 32), 10 * STEP_MS + 10_000
    assert learned_drift(otp, step, now, drift_ms, most_ms=120_000) == pytest.approx(learned, abs=1)


# --- notices to users


def notices(office: Services, alice: ServiceUser) -> list[Notice]:
    _, welcome = office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, ADDRESS)
    return welcome.notices


def test_a_used_code_from_another_network_causes_one_notice(office, alice, clock, log_in):
    code = alice.code(clock())
    log_in(code)
    assert refused(log_in, code, code, address=ELSEWHERE)
    assert notices(office, alice) == [Notice("code-replayed", clock(), 2, ELSEWHERE)]
    assert notices(office, alice) == []


def test_a_code_tried_again_from_where_it_was_used_is_no_alarm(office, alice, clock, log_in):
    code = alice.code(clock())
    log_in(code)
    assert refused(log_in, code)
    assert notices(office, alice) == []


def test_a_wrong_code_is_no_alarm(office, alice, log_in):
    assert refused(log_in, "000000", address=ELSEWHERE)
    assert notices(office, alice) == []


def test_a_right_code_without_the_key_causes_a_notice(office, alice, clock, log_in):
    thief = ServiceUser(identity("alice", "other"), alice.otp)
    with pytest.raises(LoginRefused):
        office.accounts.login(thief.login(alice.code(clock())), CHANNEL, ELSEWHERE)
    with pytest.raises(LoginRefused):
        office.accounts.enroll(thief.enrolment(alice.code(clock())), CHANNEL, ELSEWHERE)
    _, welcome = log_in(alice.code(clock()))  # it was not consumed
    assert welcome.notices == [Notice("code-without-key", clock(), 2, ELSEWHERE)]


def test_a_ticket_without_the_key_causes_a_notice_and_an_audit_entry(office, alice, clock):
    thief = ServiceUser(identity("alice", "other"), alice.otp)
    with pytest.raises(LoginRefused):
        office.accounts.login(thief.login(ticket=alice.ticket), CHANNEL, ELSEWHERE)
    assert notices(office, alice) == [Notice("ticket-without-key", clock(), 1, ELSEWHERE)]


def test_few_remaining_recovery_codes_are_reported(office, alice, log_in):
    codes = office.access.recovery_codes("alice")
    told = [log_in(code)[1].notices for code in codes]
    assert [len(each) for each in told] == [0] * 6 + [1] * 4
    assert [each[0].count for each in told[6:]] == [3, 2, 1, 0]


# --- sessions


def test_people_see_their_sessions_and_end_them_all(office, alice, clock, log_in):
    clock.forward(60)
    second, _ = log_in(alice.code(clock()), ELSEWHERE)
    first, other = office.accounts.own.sessions(second).sessions
    assert (first.address, first.this, other.address, other.this) == (
        ADDRESS,
        False,
        ELSEWHERE,
        True,
    )
    assert other.began_ms == other.used_ms == clock()
    bob = office.add("bob")
    bob.enrol(office, clock())
    office.accounts.own.end_sessions(second)
    assert alice.principal is not None
    assert not office.accounts.still_in(alice.principal)
    assert not office.accounts.still_in(second)
    assert bob.principal is not None
    assert office.accounts.still_in(bob.principal)


def test_where_and_when_a_session_was_used_is_kept(office, alice, clock):
    ask = alice.login(ticket=alice.ticket)
    started = clock()
    clock.forward(599)
    office.accounts.login(ask, CHANNEL, ADDRESS)
    assert office.access.sessions("alice")[0].used_ms == started
    clock.forward(1)
    office.accounts.login(ask, CHANNEL, ADDRESS)
    assert office.access.sessions("alice")[0].used_ms == clock()
    clock.forward(1)
    office.accounts.login(ask, CHANNEL, ELSEWHERE)
    (session,) = office.access.sessions("alice")
    assert (session.used_ms, session.address) == (clock(), ELSEWHERE)


def test_administrators_end_sessions_by_number_or_all_of_a_person(office, alice, clock, log_in):
    second, _ = log_in(alice.code(clock()))
    assert alice.principal is not None
    with pytest.raises(NotFoundError, match="none was ended"):
        office.access.revoke([second.session_id, 4711])
    assert office.accounts.still_in(second)
    office.access.revoke([second.session_id, second.session_id])
    assert not office.accounts.still_in(second)
    assert office.accounts.still_in(alice.principal)
    assert office.access.revoke_all("alice") == 1
    assert not office.accounts.still_in(alice.principal)
    assert office.access.sessions() == []
    with pytest.raises(NotFoundError):
        office.access.sessions("nobody")


# --- a wrong clock


@pytest.mark.parametrize(
    ("steps", "told"),
    [(-8, "4 min ago"), (8, "4 min in the future"), (-3, "90 s ago"), (20, "10 min in the future")],
)
def test_a_refused_code_of_another_time_is_named_to_the_administrator(
    office, clock, alice, log_in, steps, told
):
    at = clock() // STEP_MS * STEP_MS + STEP_MS // 2
    clock.forward((at - clock()) / 1000 + STEP_MS / 1000)
    assert refused(log_in, alice.code(clock(), steps))
    assert audited(office, AuditEvent.LOGIN_REFUSED)[-1][2] == f"wrong code: a code of {told}"
    shown = office.people.show("alice")
    assert shown.off_ms == steps * STEP_MS
    assert shown.off_at_ms == clock()
    log_in(alice.code(clock(), 1))
    shown = office.people.show("alice")
    assert (shown.off_ms, shown.off_at_ms) == (None, None)


def test_an_old_code_that_was_used_then_says_nothing_of_the_clock(office, clock, alice, log_in):
    code = alice.code(clock(), 1)
    log_in(code)
    clock.forward(300)
    assert refused(log_in, code)
    detail = audited(office, AuditEvent.LOGIN_REFUSED)[-1][2]
    assert detail.startswith("wrong code: a code of ")
    assert detail.endswith(" ago, used then")
    assert office.people.show("alice").off_ms is None


@pytest.mark.parametrize("steps", [-21, 21, -2880])
def test_a_code_that_is_further_away_is_only_wrong(office, clock, alice, log_in, steps):
    assert refused(log_in, alice.code(clock(), steps))
    assert audited(office, AuditEvent.LOGIN_REFUSED)[-1][2] == "wrong code"
    assert office.people.show("alice").off_ms is None


def test_a_code_of_a_new_secret_at_another_time_is_named_too(office, clock, alice, log_in):
    new = office.access.rotate_secret("alice").otp
    assert refused(log_in, new.code(new.step(clock()) - 8))
    assert "wrong code: a code of " in audited(office, AuditEvent.LOGIN_REFUSED)[-1][2]
    office.access.rotate_secret("alice", at_once=True)
    assert office.people.show("alice").off_ms is None


def test_the_client_learns_nothing_of_a_code_of_another_time(office, clock, alice, log_in):
    """The refusals of a code of another time, of a wrong code and of an unknown user are equal."""
    said = set()
    for code in (alice.code(clock(), -8), "000000" if alice.code(clock()) != "000000" else "1"):
        with pytest.raises(LoginRefused) as refusal:
            log_in(code)
        said.add((refusal.value.sentence, refusal.value.hint, refusal.value.details))
    unknown = ServiceUser(identity("bob"), alice.otp)
    with pytest.raises(LoginRefused) as refusal:
        office.accounts.login(unknown.login(alice.code(clock(), -8)), CHANNEL, ADDRESS)
    said.add((refusal.value.sentence, refusal.value.hint, refusal.value.details))
    assert len(said) == 1
    assert audited(office, AuditEvent.LOGIN_REFUSED)[-1][2] == "no such user"


def test_a_client_without_the_identity_key_leaves_no_trace_of_a_clock(office, clock, alice):
    thief = ServiceUser(identity("alice", "second"), alice.otp)
    with pytest.raises(LoginRefused):
        office.accounts.login(thief.login(alice.code(clock(), -8)), CHANNEL, ADDRESS)
    assert "not signed by the identity key" in audited(office, AuditEvent.LOGIN_REFUSED)[-1][2]
    assert office.people.show("alice").off_ms is None
