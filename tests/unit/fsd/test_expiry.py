"""Accounts that expire: at every kind of login, in open sessions, and in shared folders."""

from __future__ import annotations

import pytest

from fsd.services.accounts.terms import AccountTerms, NewValue, clean_note
from fsd.store.audit_models import AuditEntry
from fsproto.errors import LoginRefused, NotAllowedError, UsageError
from fsproto.keys.grants import Role
from tests.support.services import ADDRESS, CHANNEL, Clock, Services, ServiceUser
from tests.support.shared_folder import make_folder
from tests.unit.fsd.test_recovery import keep, recovery, refused

HOUR_S = 3600


@pytest.fixture
def alice(office: Services, clock: Clock) -> ServiceUser:
    person = office.add("alice")
    person.enrol(office, clock(), -1)
    return person


def expire_at(office: Services, at_ms: int | None) -> None:
    office.people.change("alice", AccountTerms(expires_ms=NewValue(at_ms)))


def refusals(office: Services) -> list[str]:
    """Return the reasons for refused logins from the audit log."""
    with office.database.read() as db:
        entries = db.query(AuditEntry).filter(AuditEntry.event == "login-refused")
        return [entry.detail for entry in entries.order_by(AuditEntry.seq)]


def test_a_code_is_refused_after_the_expiry(office, clock, alice):
    expire_at(office, clock() + 1)
    office.accounts.login(alice.login(alice.code(clock())), CHANNEL, ADDRESS)
    clock.ms += 1
    with pytest.raises(LoginRefused) as refusal:
        office.accounts.login(alice.login(alice.code(clock(), 1)), CHANNEL, ADDRESS)
    assert refusal.value.sentence == LoginRefused().sentence
    assert refusals(office) == ["expired"]


def test_a_ticket_does_not_either_and_sessions_have_ended(office, clock, alice):
    expire_at(office, clock() + HOUR_S * 1000)
    assert office.accounts.still_in(alice.who)
    clock.forward(HOUR_S)
    assert not office.accounts.still_in(alice.who)
    assert office.access.sessions("alice") == []
    with pytest.raises(LoginRefused):
        office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, ADDRESS)


def test_a_session_that_starts_later_does_not_last_longer(office, clock, alice):
    expire_at(office, clock() + HOUR_S * 1000)
    _, welcome = office.accounts.login(alice.login(alice.code(clock())), CHANNEL, ADDRESS)
    assert welcome.expires_ms == clock() + HOUR_S * 1000


def test_an_enrolment_in_an_expired_account_is_refused(office, clock):
    bob = office.add("bob")
    office.people.change("bob", AccountTerms(expires_ms=NewValue(clock())))
    with pytest.raises(LoginRefused):
        bob.enrol(office, clock())
    assert refusals(office) == ["expired"]


def test_what_asks_for_a_code_once_more_is_refused_as_well(office, clock, alice):
    expire_at(office, clock())
    with pytest.raises(LoginRefused):
        office.accounts.own.make_recovery_codes(alice.who, alice.code(clock()))
    with pytest.raises(LoginRefused):
        office.accounts.own.rotate_secret(alice.who, alice.code(clock()))


def test_a_recovery_code_is_refused(office, clock, alice):
    made = office.access.recovery_codes("alice")
    expire_at(office, clock())
    with pytest.raises(LoginRefused):
        office.accounts.login(alice.login(made[0]), CHANNEL, ADDRESS)


def test_an_expired_account_gets_no_key_backup_and_no_login_by_it(office, clock, alice):
    keep(office, alice, b"sealed")
    ask = recovery(alice, alice.code(clock()))
    recovered, _ = office.accounts.recover(ask, CHANNEL, ADDRESS)
    expire_at(office, clock())
    with pytest.raises(LoginRefused):
        office.accounts.log_in_after_code(recovered, alice.login(), CHANNEL, ADDRESS)
    assert refused(office, recovery(alice, alice.code(clock(), 1)))
    assert refusals(office) == ["expired", "expired"]


def test_an_account_with_a_later_expiry_can_log_in_again(office, clock, alice):
    expire_at(office, clock())
    expire_at(office, clock() + 1000)
    office.accounts.login(alice.login(alice.code(clock())), CHANNEL, ADDRESS)
    expire_at(office, None)
    clock.forward(HOUR_S)
    office.accounts.login(alice.login(alice.code(clock())), CHANNEL, ADDRESS)


def test_a_new_share_with_an_expired_user_is_refused(office, clock, alice):
    bob = office.add("bob")
    bob.enrol(office, clock())
    shared = make_folder(office, bob)
    expire_at(office, clock())
    with pytest.raises(NotAllowedError, match="expired"):
        shared.share((alice, Role.READER))


def test_it_is_shown_and_in_the_audit_log(office, clock, alice):
    office.people.change(
        "alice", AccountTerms(expires_ms=NewValue(clock() + 1), note="until the fair")
    )
    person = office.people.show("alice")
    assert (person.expires_ms, person.expired, person.note) == (
        clock() + 1,
        False,
        "until the fair",
    )
    clock.ms += 1
    assert office.people.show("alice").expired
    with office.database.read() as db:
        (entry,) = db.query(AuditEntry).filter(AuditEntry.event == "user-changed")
        assert (entry.actor, entry.subject) == ("fsadmin:tests", "alice")
        assert entry.detail.startswith("expires: ")
        assert "fair" not in entry.detail


@pytest.mark.parametrize("note", ["two\nlines", "\x1b[31mred", "x" * 501, "\u202e"])
def test_a_note_is_one_line_that_harms_no_terminal(note):
    with pytest.raises(UsageError, match="printable"):
        clean_note(note)
