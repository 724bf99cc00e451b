"""Key backups at the server: one per user, handed out only for a code and a phrase."""

from __future__ import annotations

import dataclasses
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from fsd.auth.otp import OtpSetting
from fsd.services.login.codes import CodeUsed
from fsd.services.login.identities import register
from fsd.services.login.login import LoginService
from fsd.store import models, schema
from fsd.store.audit_models import AuditEntry
from fsd.store.login_models import LoginPenalty
from fsproto import labels
from fsproto.errors import LoginRefused, RemoteProtocolError, SecurityError
from fsproto.keys.recovery import RecoverySecret
from fsproto.limits import MAX_BACKUP
from fsproto.messages.account import Backup, Recover
from tests.support.fixed_keys import stretch
from tests.support.races import RACERS, entrants, winners, winners_in_processes
from tests.support.services import ADDRESS, CHANNEL, Clock, Services, ServiceUser, identity

PHRASE = stretch("phrase", 16)
SEALED = b"sealed, as far as a server can tell"
HUGE = "a" * 1_000_000


def secret(user: str = "alice", phrase: bytes = PHRASE) -> RecoverySecret:
    return RecoverySecret(user, phrase)


def backed_up(office: Services, clock: Clock, name: str = "alice", sealed: bytes = SEALED):
    """Return a user who enrolled with the previous code and stored a backup."""
    person = office.add(name)
    person.enrol(office, clock(), -1)
    keep(office, person, sealed)
    return person


def keep(
    office: Services, person: ServiceUser, sealed: bytes, phrase: bytes = PHRASE, code: str = ""
) -> None:
    code = code or office.access.recovery_codes(person.name)[0]
    ask = Backup(code, secret(person.name, phrase).signing.public, sealed)
    office.accounts.own.keep_backup(person.who, ask)


def recovery(
    person: ServiceUser, code: str, phrase: bytes = PHRASE, channel: bytes = CHANNEL, **changes: Any
) -> Recover:
    """Return the message that requests a user's backup."""
    key = secret(person.name, phrase).signing
    signature = key.sign(labels.SIGN_RECOVER, channel, person.name.encode())
    return replace(Recover(person.name, signature, code), **changes)


def refused(office: Services, ask: Recover, address: str = ADDRESS) -> bool:
    with pytest.raises((LoginRefused, SecurityError)):
        office.accounts.recover(ask, CHANNEL, address)
    return True


def proves(office: Services, recovered: CodeUsed, person: ServiceUser, **changes: Any):
    ask = person.login(**changes)
    return office.accounts.log_in_after_code(recovered, ask, CHANNEL, ADDRESS)


# --- storing


def test_a_backup_comes_back_for_code_and_phrase_and_one_code_logs_in(office, clock):
    alice = backed_up(office, clock)
    recovered, found = office.accounts.recover(
        recovery(alice, alice.code(clock())), CHANNEL, ADDRESS
    )
    assert found.sealed == SEALED
    who, welcome = proves(office, recovered, alice)
    assert who.user == "alice"
    assert welcome.tree == alice.empty_tree
    office.accounts.login(alice.login(ticket=welcome.ticket), CHANNEL, ADDRESS)


def test_there_is_one_backup_a_person_and_the_newest_counts(office, clock):
    alice = backed_up(office, clock)
    keep(office, alice, b"newer", stretch("newer phrase", 16))
    with office.database.read() as db:
        assert [kept.sealed for kept in db.query(models.KeyBackup)] == [b"newer"]
    code = alice.code(clock())
    assert refused(office, recovery(alice, code))
    _, found = office.accounts.recover(
        recovery(alice, code, stretch("newer phrase", 16)), CHANNEL, ADDRESS
    )
    assert found.sealed == b"newer"


def test_people_get_their_own(office, clock):
    alice = backed_up(office, clock)
    bob = backed_up(office, clock, "bob", b"bob's")
    for person, sealed in ((alice, SEALED), (bob, b"bob's")):
        ask = recovery(person, person.code(clock()))
        assert office.accounts.recover(ask, CHANNEL, ADDRESS)[1].sealed == sealed


def test_twenty_backups_at_once_are_one_in_the_end(office, clock):
    alice = backed_up(office, clock)
    bob = office.add("bob")
    bob.enrol(office, clock(), -1)
    ready = threading.Barrier(RACERS)
    codes = [office.access.recovery_codes(name) for name in ("alice", "bob")]

    def race(number: int) -> None:
        ready.wait()
        person = (alice, bob)[number % 2]
        keep(office, person, b"%d" % number, code=codes[number % 2][number // 2])

    with ThreadPoolExecutor(RACERS) as pool:
        list(pool.map(race, range(RACERS)))
    with office.database.read() as db:
        assert db.query(models.KeyBackup).count() == 2


@pytest.mark.parametrize(
    ("key", "sealed"),
    [(32, b""), (32, bytes(MAX_BACKUP + 1)), (31, b"x"), (33, b"x"), (0, b"x")],
    ids=["empty", "too long", "short key", "long key", "no key"],
)
def test_what_is_no_backup_is_not_kept(office, clock, key, sealed):
    alice = backed_up(office, clock)
    with pytest.raises(RemoteProtocolError):
        office.accounts.own.keep_backup(alice.who, Backup("", bytes(key), sealed))
    with office.database.read() as db:
        assert [kept.sealed for kept in db.query(models.KeyBackup)] == [SEALED]


def test_a_backup_may_be_as_large_as_it_may_be(office, clock):
    alice = backed_up(office, clock, sealed=bytes(MAX_BACKUP))
    ask = recovery(alice, alice.code(clock()))
    assert len(office.accounts.recover(ask, CHANNEL, ADDRESS)[1].sealed) == MAX_BACKUP


# --- refusing


@pytest.mark.cases(4)
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
        {"user": HUGE},
        {"user": "no\0body"},
        {"user": "\ud800"},
    ],
    ids=lambda wrong: f"{next(iter(wrong))}-{str(next(iter(wrong.values())))[:8]!r}",
)
def test_whatever_is_wrong_it_is_refused_and_the_code_still_works(office, clock, wrong):
    alice = backed_up(office, clock)
    backed_up(office, clock, "bob")
    code = alice.code(clock())
    assert refused(office, recovery(alice, code, **wrong))
    office.accounts.recover(recovery(alice, code), CHANNEL, ADDRESS)


def test_another_phrase_gets_nothing_even_with_a_code(office, clock):
    alice = backed_up(office, clock)
    code = alice.code(clock())
    assert refused(office, recovery(alice, code, stretch("another phrase", 16)))
    office.accounts.login(alice.login(code), CHANNEL, ADDRESS)  # the code was not consumed


def test_the_identity_key_does_not_ask_for_the_backup(office, clock):
    alice = backed_up(office, clock)
    for label in (labels.SIGN_RECOVER, labels.SIGN_LOGIN):
        ask = recovery(alice, alice.code(clock()), signature=alice.signature(label))
        assert refused(office, ask)


def test_a_request_of_another_channel_is_refused(office, clock):
    alice = backed_up(office, clock)
    assert refused(office, recovery(alice, alice.code(clock()), channel=bytes(32)))


def test_where_there_is_no_backup_it_is_refused_alike(office, clock):
    alice = office.add("alice")
    assert refused(office, recovery(alice, alice.code(clock())))
    alice.enrol(office, clock(), -1)
    assert refused(office, recovery(alice, alice.code(clock())))
    office.accounts.login(alice.login(alice.code(clock())), CHANNEL, ADDRESS)


def test_a_code_recovers_once_and_is_then_refused(office, clock):
    alice = backed_up(office, clock)
    code = alice.code(clock())
    office.accounts.recover(recovery(alice, code), CHANNEL, ADDRESS)
    assert refused(office, recovery(alice, code))
    with pytest.raises(LoginRefused):
        office.accounts.login(alice.login(code), CHANNEL, ADDRESS)


def test_a_code_that_logged_in_recovers_nothing(office, clock):
    alice = backed_up(office, clock)
    code = alice.code(clock())
    office.accounts.login(alice.login(code), CHANNEL, ADDRESS)
    assert refused(office, recovery(alice, code))


def test_a_disabled_person_recovers_nothing(office, clock):
    alice = backed_up(office, clock)
    office.people.set_disabled("alice", disabled=True)
    assert refused(office, recovery(alice, alice.code(clock())))


def test_reset_keys_forget_the_backup(office, clock):
    alice = backed_up(office, clock)
    office.people.reset_keys("alice")
    assert refused(office, recovery(alice, alice.code(clock())))
    with office.database.read() as db:
        assert db.query(models.KeyBackup).count() == 0


def test_the_backup_of_keys_that_were_replaced_is_none(office, clock):
    alice = backed_up(office, clock)
    with office.database.write() as db:
        user = db.query(models.User).one()
        register(db, user.id, identity("alice", "second", version=2).bundle, clock())
    assert refused(office, recovery(alice, alice.code(clock())))


def test_a_backup_goes_with_its_person(office, clock):
    backed_up(office, clock)
    office.people.remove("alice")
    with office.database.read() as db:
        assert db.query(models.KeyBackup).count() == 0


def test_tries_count_together_with_those_of_logging_in(office, clock):
    alice = backed_up(office, clock)
    for number in range(5):
        if number % 2:
            assert refused(office, recovery(alice, "000000"))
        else:
            with pytest.raises(LoginRefused):
                office.accounts.login(alice.login("000000"), CHANNEL, ADDRESS)
    right = recovery(alice, alice.code(clock()))
    assert refused(office, right)
    with office.database.read() as db:
        (counted,) = db.query(LoginPenalty).filter_by(user="alice")
        assert (counted.network, counted.failures) == ("", 5)  # counted for alice, from any network
    assert refused(office, right, "203.0.113.9")
    clock.forward(30)
    office.accounts.recover(recovery(alice, alice.code(clock())), CHANNEL, ADDRESS)


def test_every_kind_of_code_gets_a_backup_once(office, clock):
    alice = backed_up(office, clock)
    (code, *_) = office.access.recovery_codes("alice")
    new = ServiceUser(alice.identity, office.access.rotate_secret("alice").otp)
    for right in (code, new.code(clock())):
        office.accounts.recover(recovery(alice, right), CHANNEL, ADDRESS)
        assert refused(office, recovery(alice, right))
    with office.database.read() as db:
        events = [event for (event,) in db.query(AuditEntry.event).order_by(AuditEntry.seq)]
    assert events.count("key-backup-handed-out") == 2
    assert "recovery-code-used" in events
    assert "secret-replaced" in events


# --- the proof after the recovery


def recovering(office: Services, clock: Clock) -> tuple[ServiceUser, CodeUsed]:
    alice = backed_up(office, clock)
    ask = recovery(alice, alice.code(clock()))
    return alice, office.accounts.recover(ask, CHANNEL, ADDRESS)[0]


def wrong_proofs(alice: ServiceUser, code: str) -> dict[str, dict[str, Any]]:
    return {
        "unsigned": {"signature": bytes(64)},
        "signed as a request": {"signature": alice.signature(labels.SIGN_RECOVER)},
        "of another channel": {"signature": alice.signature(labels.SIGN_LOGIN, bytes(32))},
        "by the phrase": {"signature": recovery(alice, code).signature},
        "a code too": {"code": code},
        "a ticket too": {"ticket": alice.ticket},
        "another name": {"user": "bob"},
        "nobody's name": {"user": "nobody"},
    }


@pytest.mark.cases(4)
@pytest.mark.parametrize("wrong", wrong_proofs(ServiceUser(identity("alice"), OtpSetting("A")), ""))
def test_only_the_identity_that_was_backed_up_gets_in(office, clock, wrong):
    alice, recovered = recovering(office, clock)
    backed_up(office, clock, "bob")
    with pytest.raises(LoginRefused):
        proves(office, recovered, alice, **wrong_proofs(alice, alice.code(clock(), 1))[wrong])
    assert office.people.show("alice").sessions == 1


def test_the_backup_of_one_lets_no_other_in(office, clock):
    _, recovered = recovering(office, clock)
    bob = backed_up(office, clock, "bob")
    with pytest.raises(LoginRefused):
        proves(office, recovered, bob)


def test_a_user_disabled_in_the_meantime_cannot_log_in(office, clock):
    alice, recovered = recovering(office, clock)
    office.people.set_disabled("alice", disabled=True)
    with pytest.raises(LoginRefused):
        proves(office, recovered, alice)


def test_a_login_with_neither_code_nor_ticket_is_none(office, clock):
    alice, _ = recovering(office, clock)
    with pytest.raises(LoginRefused):
        office.accounts.login(alice.login(), CHANNEL, ADDRESS)


# --- racing


def _race_in_process(url: str, otp: OtpSetting, now_ms: int, racers: range, start, won) -> None:
    alice = ServiceUser(identity("alice"), otp)
    ask = recovery(alice, alice.code(now_ms))

    def enter(service: LoginService, at: str) -> None:
        service.recover(ask, CHANNEL, at)

    won.put(entrants(url, now_ms, enter, racers, start))


def test_of_twenty_recovery_processes_with_one_code_exactly_one_succeeds(
    office, clock, url_at_head
):
    alice = backed_up(office, clock)
    assert winners_in_processes(2, _race_in_process, url_at_head, alice.otp, clock()) == 1


def test_of_those_who_recover_and_log_in_with_one_code_exactly_one_wins(office, clock):
    alice = backed_up(office, clock)
    code = alice.code(clock())
    asks = recovery(alice, code), alice.login(code)

    def enter(number: int) -> None:
        way: Any = (office.accounts.recover, office.accounts.login)[number % 2]
        way(asks[number % 2], CHANNEL, f"192.0.2.{number}")

    assert winners(enter) == 1


# --- the table and the log


def test_the_table_goes_and_comes_back_and_all_else_stays(office, clock):
    backed_up(office, clock)
    before = office.people.show("alice")
    schema.downgrade(office.database, BEFORE_BACKUPS)
    with office.database.read() as db:
        assert db.scalars(text("SELECT name FROM users")).all() == ["alice"]
    schema.upgrade(office.database)
    # The downgrade also reverts later revisions: of the learned clock drift, of recovery codes.
    after = dataclasses.replace(before, clock_ms=0, recovery_codes=0)
    assert office.people.show("alice") == after
    bob = backed_up(office, clock, "bob")
    office.accounts.recover(recovery(bob, bob.code(clock())), CHANNEL, ADDRESS)


BEFORE_BACKUPS = "0002"
"""The revision before the table was added."""


def test_the_log_tells_of_it_and_no_secret(office, clock, caplog):
    caplog.set_level(logging.DEBUG)
    alice = backed_up(office, clock)
    code = alice.code(clock())
    office.accounts.recover(recovery(alice, code), CHANNEL, ADDRESS)
    assert refused(office, recovery(alice, code))
    told = " ".join(str(vars(record)) for record in caplog.records)
    for words in ("kept a backup of keys", "handed out a backup", "login refused", ADDRESS):
        assert words in told
    for hidden in (code, alice.otp.secret, str(SEALED), PHRASE.hex(), str(PHRASE)):
        assert hidden not in told
