"""Enrolment, login and sessions; every refused login gets the same answer."""

from __future__ import annotations

import logging

import msgspec
import pytest

from fsd.auth.otp import OtpSetting
from fsd.blobs.janitor import Janitor
from fsd.policies import LoginPolicy
from fsd.store import models
from fsd.store.engine import Database, DatabaseError
from fsproto import labels
from fsproto.errors import LoginRefused, SecurityError
from fsproto.signed import Signed
from tests.support.services import (
    ADDRESS,
    CHANNEL,
    Clock,
    Services,
    ServiceUser,
    accounts,
    identity,
)

REFUSED = (LoginRefused, SecurityError)
"""Errors that the native listener answers in the same way."""
HUGE = "a" * 1_000_000


def enrolled(office: Services, clock: Clock, name: str = "alice") -> ServiceUser:
    """Return a user who enrolled with the previous code."""
    person = office.add(name)
    person.enrol(office, clock(), -1)
    return person


def refused(office: Services, ask, address: str = ADDRESS, channel: bytes = CHANNEL) -> bool:
    call = office.accounts.enroll if hasattr(ask, "bundle") else office.accounts.login
    with pytest.raises(REFUSED):
        call(ask, channel, address)
    return True


# --- enrolment


def test_a_person_enrols_and_finds_an_empty_tree(office, clock):
    alice = office.add("alice")
    welcome = alice.enrol(office, clock())
    assert (welcome.user, welcome.now_ms) == ("alice", clock())
    assert welcome.tree == alice.empty_tree
    assert alice.principal is not None
    status = office.accounts.own.status(alice.principal)
    assert (status.files, status.folders, status.stored_bytes) == (0, 0, 0)


def test_a_second_enrolment_with_other_keys_is_refused(office, clock):
    alice = enrolled(office, clock)
    thief = ServiceUser(identity("alice", "other"), alice.otp)
    assert refused(office, thief.enrolment(thief.code(clock())))
    assert office.people.show("alice").fingerprint == alice.identity.bundle.fingerprint


def test_an_enrolment_whose_answer_was_lost_can_be_sent_again_with_a_new_code(office, clock):
    alice = office.add("alice")
    first = alice.enrol(office, clock())
    again = alice.enrol(office, clock(), 1)
    assert again.tree == first.tree
    assert again.ticket != first.ticket


def test_the_code_of_an_enrolment_is_refused_at_a_login(office, clock):
    alice = office.add("alice")
    alice.enrol(office, clock())
    assert refused(office, alice.login(alice.code(clock())))


@pytest.mark.cases(5)
@pytest.mark.parametrize(
    "wrong",
    [
        {"otp": "000000"},
        {"otp": ""},
        {"otp": HUGE},
        {"signature": bytes(64)},
        {"signature": b""},
        {"user": "bob"},
        {"user": "nobody"},
        {"user": "ali\0ce"},
        {"user": HUGE},
        {"bundle": identity("bob").bundle.signed},
        {"bundle": identity("alice", version=2).bundle.signed},
        {"bundle": identity("alice", "other").bundle.signed},
        {"bundle": Signed(b"", b"")},
    ],
    ids=lambda wrong: f"{next(iter(wrong))}-{str(next(iter(wrong.values())))[:12]!r}",
)
def test_an_enrolment_with_one_wrong_part_is_refused_and_leaves_nothing(office, clock, wrong):
    alice = office.add("alice")
    office.add("bob")
    right = alice.enrolment(alice.code(clock()))
    assert refused(office, msgspec.structs.replace(right, **wrong))
    assert not office.people.show("alice").enrolled
    office.accounts.enroll(right, CHANNEL, ADDRESS)  # the refusal did not consume the code


@pytest.mark.parametrize("part", ["grant", "manifest", "state"])
def test_an_enrolment_with_a_tree_of_another_person_is_refused(office, clock, part):
    alice, bob = office.add("alice"), office.add("bob")
    foreign = getattr(bob.empty_tree, part)
    tree = msgspec.structs.replace(alice.empty_tree, **{part: foreign})
    assert refused(office, alice.enrolment(alice.code(clock()), tree=tree))
    assert not office.people.show("alice").enrolled


def test_an_enrolment_with_the_root_of_another_tree_is_refused(office, clock):
    alice = enrolled(office, clock)
    bob = office.add("bob")
    bob.root = alice.root
    assert refused(office, bob.enrolment(bob.code(clock())))


def test_a_disabled_person_does_not_enrol(office, clock):
    alice = office.add("alice")
    office.people.set_disabled("alice", disabled=True)
    assert refused(office, alice.enrolment(alice.code(clock())))


def test_a_signature_made_to_log_in_does_not_enrol_and_the_other_way_round(office, clock):
    bob = office.add("bob")
    crossed = bob.signature(labels.SIGN_LOGIN)
    assert refused(office, bob.enrolment(bob.code(clock()), signature=crossed))
    alice = enrolled(office, clock)
    crossed = alice.signature(labels.SIGN_ENROLL)
    assert refused(office, alice.login(alice.code(clock()), signature=crossed))


# --- logging in with a code


def test_a_code_lets_its_owner_in_once(office, clock):
    alice = enrolled(office, clock)
    code = alice.code(clock())
    who, welcome = office.accounts.login(alice.login(code), CHANNEL, ADDRESS)
    assert (who.user, who.ed25519) == ("alice", alice.identity.signing.public)
    assert welcome.ticket is not None
    assert refused(office, alice.login(code))


@pytest.mark.parametrize("typed", ["{0}{1} {2}", " {0}-{1}-{2}\n", "{0}\u00a0{1}{2}"])
def test_a_code_typed_with_separators_is_as_used_up_as_without(office, clock, typed):
    alice = enrolled(office, clock)
    code = alice.code(clock())
    decorated = typed.format(code[:2], code[2:4], code[4:])
    office.accounts.login(alice.login(decorated), CHANNEL, ADDRESS)
    assert refused(office, alice.login(code))
    assert refused(office, alice.login(decorated))


def test_a_step_not_later_than_the_last_one_used_is_refused(office, clock):
    alice = enrolled(office, clock)
    office.accounts.login(alice.login(alice.code(clock(), 1)), CHANNEL, ADDRESS)
    assert refused(office, alice.login(alice.code(clock(), 1)))
    assert refused(office, alice.login(alice.code(clock(), 0)))
    clock.forward(30)
    assert refused(office, alice.login(alice.code(clock(), 0)))
    office.accounts.login(alice.login(alice.code(clock(), 1)), CHANNEL, ADDRESS)


def test_a_used_step_stays_used_after_its_record_was_tidied_away(office, clock):
    alice = enrolled(office, clock)
    code = alice.code(clock(), 1)
    office.accounts.login(alice.login(code), CHANNEL, ADDRESS)
    Janitor(office.database, office.blobs, lambda: clock() + 100 * 24 * 3600 * 1000).run()
    assert refused(office, alice.login(code))


def test_a_refused_login_does_not_use_up_the_code(office, clock):
    alice = enrolled(office, clock)
    code = alice.code(clock())
    assert refused(office, alice.login(code, signature=bytes(64)))
    office.accounts.login(alice.login(code), CHANNEL, ADDRESS)


@pytest.mark.cases(6)
@pytest.mark.parametrize(
    "wrong",
    [
        {"otp": "000000"},
        {"otp": ""},
        {"otp": None},
        {"otp": "12345\0"},
        {"otp": HUGE},
        {"signature": bytes(64)},
        {"signature": b""},
        {
            "signature": identity("alice", "other").signing.sign(
                labels.SIGN_LOGIN, CHANNEL, b"alice"
            )
        },
        {"user": "nobody"},
        {"user": "bob"},
        {"user": "ALICE"},
        {"user": " alice"},
        {"user": ""},
        {"user": "ali\0ce"},
        {"user": HUGE},
        {"user": "' OR 1=1 --"},
        {"ticket": bytes(32)},
    ],
    ids=lambda wrong: f"{next(iter(wrong))}-{str(next(iter(wrong.values())))[:12]!r}",
)
def test_a_login_with_one_wrong_part_is_refused(office, clock, wrong):
    alice = enrolled(office, clock)
    enrolled(office, clock, "bob")
    right = alice.login(alice.code(clock()))
    assert refused(office, msgspec.structs.replace(right, **wrong))
    office.accounts.login(right, CHANNEL, ADDRESS)


def test_a_login_recorded_on_another_channel_is_refused(office, clock):
    alice = enrolled(office, clock)
    assert refused(office, alice.login(alice.code(clock())), channel=bytes(32))


def test_a_code_of_another_person_is_refused(office, clock):
    alice, bob = enrolled(office, clock), enrolled(office, clock, "bob")
    assert refused(office, alice.login(bob.code(clock())))


def test_a_login_before_the_enrolment_is_refused(office, clock):
    alice = office.add("alice")
    assert refused(office, alice.login(alice.code(clock())))


def test_a_disabled_person_is_refused_until_enabled_again(office, clock):
    alice = enrolled(office, clock)
    office.people.set_disabled("alice", disabled=True)
    code = alice.code(clock())
    assert refused(office, alice.login(code))
    assert refused(office, alice.login(ticket=alice.ticket))
    office.people.set_disabled("alice", disabled=False)
    assert refused(office, alice.login(ticket=alice.ticket))  # its session had ended
    office.accounts.login(alice.login(code), CHANNEL, ADDRESS)


# --- sessions


def test_a_ticket_resumes_the_session_without_a_new_ticket(office, clock):
    alice = enrolled(office, clock)
    who, welcome = office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, ADDRESS)
    assert alice.principal == who
    assert welcome.ticket is None


@pytest.mark.parametrize("ticket", [b"", bytes(32), b"x" * 1_000_000])
def test_a_ticket_that_was_never_given_is_refused(office, clock, ticket):
    alice = enrolled(office, clock)
    assert refused(office, alice.login(ticket=ticket))


def test_a_ticket_needs_the_identity_key_as_well(office, clock):
    alice = enrolled(office, clock)
    thief = ServiceUser(identity("alice", "other"), alice.otp)
    assert refused(office, thief.login(ticket=alice.ticket))


def test_a_ticket_of_another_person_is_refused(office, clock):
    alice, bob = enrolled(office, clock), enrolled(office, clock, "bob")
    assert refused(office, bob.login(ticket=alice.ticket))
    assert refused(office, bob.login(ticket=alice.ticket, user="alice"))


def test_a_ticket_of_keys_that_were_reset_is_refused(office, clock):
    alice = enrolled(office, clock)
    office.people.reset_keys("alice")
    renewed = ServiceUser(identity("alice", "other"), alice.otp)
    renewed.enrol(office, clock())
    assert refused(office, renewed.login(ticket=alice.ticket))
    assert refused(office, alice.login(ticket=alice.ticket))


def test_a_ticket_of_keys_that_were_replaced_is_refused(office, clock):
    alice = enrolled(office, clock)
    assert alice.principal is not None
    new = identity("alice", "other", version=2)
    with office.database.write() as db:
        db.add(
            models.Bundle(
                user_id=alice.principal.user_id,
                version=2,
                payload=new.bundle.signed.payload,
                signature=new.bundle.signed.signature,
                ed25519=new.signing.public,
                created_ms=clock(),
            )
        )
    alice.identity = new
    assert refused(office, alice.login(ticket=alice.ticket))
    office.accounts.login(alice.login(alice.code(clock())), CHANNEL, ADDRESS)


def test_a_ticket_beside_a_code_is_refused_even_if_both_are_good(office, clock):
    alice = enrolled(office, clock)
    assert refused(office, alice.login(alice.code(clock()), alice.ticket))


def test_a_session_ends_when_its_time_is_over(office, clock):
    alice = enrolled(office, clock)
    clock.forward(LoginPolicy().session_ms / 1000 - 1)
    office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, ADDRESS)
    assert office.accounts.still_in(alice.principal)
    clock.forward(1)
    assert refused(office, alice.login(ticket=alice.ticket))
    assert not office.accounts.still_in(alice.principal)


def test_a_session_ends_at_logout_and_the_others_continue(office, clock):
    alice = enrolled(office, clock)
    second, welcome = office.accounts.login(alice.login(alice.code(clock())), CHANNEL, ADDRESS)
    office.accounts.logout(second)
    assert refused(office, alice.login(ticket=welcome.ticket))
    assert not office.accounts.still_in(second)
    office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, ADDRESS)


def test_an_open_connection_ends_with_the_account(office, clock):
    alice = enrolled(office, clock)
    office.people.set_disabled("alice", disabled=True)
    assert not office.accounts.still_in(alice.principal)


def test_an_open_connection_of_a_removed_person_is_not_taken_for_the_next_persons(office, clock):
    alice = enrolled(office, clock)
    office.people.remove("alice")
    bob = enrolled(office, clock, "bob")
    assert alice.principal is not None
    assert not office.accounts.still_in(alice.principal)
    assert bob.principal is not None
    assert bob.principal.user_id != alice.principal.user_id
    assert bob.principal.session_id != alice.principal.session_id


def test_tickets_and_secrets_are_not_in_the_database(office, clock):
    alice = enrolled(office, clock)
    with office.database.read() as db:
        stored = [
            value
            for row in (*db.query(models.User), *db.query(models.Session))
            for value in vars(row).values()
            if isinstance(value, bytes)
        ]
    assert stored
    assert not any(alice.ticket in value for value in stored)
    assert not any(alice.otp.secret.encode() in value for value in stored)


# --- the server's log


def test_the_log_tells_who_was_refused_and_no_secret(office, clock, caplog):
    caplog.set_level(logging.DEBUG)
    alice = enrolled(office, clock)
    code = alice.code(clock())
    office.accounts.login(alice.login(code), CHANNEL, ADDRESS)
    assert refused(office, alice.login(code))
    told = " ".join(str(vars(record)) for record in caplog.records)
    assert "login refused" in told
    assert "alice" in told
    assert ADDRESS in told
    for secret in (code, alice.otp.secret, alice.ticket.hex(), str(alice.ticket)):
        assert secret not in told


def test_a_secret_that_does_not_open_is_reported_to_the_operator(office, clock, caplog):
    alice = enrolled(office, clock)
    with office.database.write() as db:
        db.query(models.User).update({"otp_secret": b"damaged"})
    assert refused(office, alice.login(alice.code(clock())))
    assert "does not open with this master key" in caplog.text


def test_a_database_that_fails_is_not_a_wrong_code(tmp_path, clock):
    empty = Database(f"sqlite:///{tmp_path / 'nothing.db'}")
    nobody = ServiceUser(identity("alice"), OtpSetting("A" * 32))
    with pytest.raises(DatabaseError):
        accounts(empty, clock).login(nobody.login("000000"), CHANNEL, ADDRESS)
