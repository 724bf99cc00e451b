"""Decisions of the account service about SSH logins, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import text

from fsd.policies import LoginPolicy
from fsd.services.login.codes import CodeUsed
from fsd.services.login.login import LoginService
from fsd.services.login.ssh_login import NO_KEY
from fsd.store import schema
from fsd.store.engine import Database
from fsproto import crypto
from fsproto.errors import LoginRefused
from tests.support.services import ADDRESS, CHANNEL, Services, ServiceUser, accounts

KEY, OTHER_KEY = crypto.sha256(b"a public key"), crypto.sha256(b"another one")
ELSEWHERE = "198.51.100.7"


@pytest.fixture
def alice(office, clock) -> ServiceUser:
    added: ServiceUser = office.add("alice")
    added.enrol(office, clock(), -1)
    return added


@pytest.fixture
def strict(url_at_head, clock) -> Iterator[LoginService]:
    """The same service at another node, with a lower limit of failures."""
    with closing(Database(url_at_head)) as database:
        yield accounts(database, clock, LoginPolicy(most_failures=5, free_tries=1000))


def events(office: Services, event: str) -> list[str]:
    with office.database.read() as db:
        found = db.execute(
            text("SELECT detail FROM audit_entries WHERE event = :event ORDER BY seq"),
            {"event": event},
        )
        return [row.detail for row in found]


def test_a_code_lets_in_and_its_key_goes_on_without_one(office, alice, clock):
    ssh = office.accounts.ssh
    entered = ssh.with_code("alice", alice.code(clock()), KEY, ADDRESS)
    assert (entered.user, entered.by_code, entered.lasts) == ("alice", True, True)
    again = ssh.with_key("alice", KEY, ADDRESS)
    assert again is not None
    assert (again.session_id, again.by_code) == (entered.session_id, False)
    assert events(office, "ssh-session") == [f"door=ssh, bound to {crypto.as_fingerprint(KEY)}"]
    assert events(office, "login") == ["door=ssh"]


def test_a_session_is_of_no_use_with_another_key_for_another_user_or_without_a_key(
    office, alice, clock
):
    ssh = office.accounts.ssh
    bob = office.add("bob")
    bob.enrol(office, clock(), -1)
    ssh.with_code("alice", alice.code(clock()), KEY, ADDRESS)
    assert ssh.with_key("alice", OTHER_KEY, ADDRESS) is None
    assert ssh.with_key("bob", KEY, ADDRESS) is None
    assert ssh.with_key("nobody", KEY, ADDRESS) is None
    ssh.with_code("bob", bob.code(clock()), NO_KEY, ADDRESS)
    assert ssh.with_key("bob", NO_KEY, ADDRESS) is None


def test_one_key_can_be_bound_to_sessions_of_two_people(office, alice, clock):
    ssh = office.accounts.ssh
    bob = office.add("bob")
    bob.enrol(office, clock(), -1)
    ours = ssh.with_code("alice", alice.code(clock()), KEY, ADDRESS)
    theirs = ssh.with_code("bob", bob.code(clock()), KEY, ADDRESS)
    assert ssh.with_key("alice", KEY, ADDRESS).session_id == ours.session_id
    assert ssh.with_key("bob", KEY, ADDRESS).session_id == theirs.session_id


def test_a_code_of_one_listener_is_refused_at_the_other(office, alice, clock):
    ssh, code = office.accounts.ssh, alice.code(clock())
    office.accounts.login(alice.login(code), CHANNEL, ADDRESS)
    with pytest.raises(LoginRefused):
        ssh.with_code("alice", code, KEY, ADDRESS)
    following = alice.code(clock(), 1)
    ssh.with_code("alice", following, KEY, ADDRESS)
    with pytest.raises(LoginRefused):
        office.accounts.login(alice.login(following), CHANNEL, ADDRESS)
    with pytest.raises(LoginRefused):
        ssh.with_code("alice", f" {following} ", KEY, ADDRESS)


def test_a_code_replayed_from_another_network_causes_a_notice(office, alice, clock):
    code = alice.code(clock())
    office.accounts.login(alice.login(code), CHANNEL, ADDRESS)
    with pytest.raises(LoginRefused):
        office.accounts.ssh.with_code("alice", code, KEY, ELSEWHERE)
    assert events(office, "code-replayed") == ["door=ssh"]
    _, welcome = office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, ADDRESS)
    assert [(each.kind, each.address) for each in welcome.notices] == [("code-replayed", ELSEWHERE)]


@pytest.mark.parametrize("why", ["wrong code", "no such user", "disabled", "not enrolled"])
def test_whatever_is_wrong_it_is_refused_and_recorded_and_no_code_is_lost(
    office, alice, clock, why
):
    ssh, user, code = office.accounts.ssh, "alice", alice.code(clock())
    if why == "wrong code":
        code = "not a code"
    elif why == "no such user":
        user = "mallory"
    elif why == "disabled":
        office.people.set_disabled("alice", disabled=True)
    else:
        office.people.reset_keys("alice")
    with pytest.raises(LoginRefused, match=LoginRefused().sentence):
        ssh.with_code(user, code, KEY, ADDRESS)
    assert events(office, "login-refused")[-1] == f"door=ssh, {why}"
    assert office.access.sessions() == [] or why in ("wrong code", "no such user")
    office.people.set_disabled("alice", disabled=False)
    if why == "not enrolled":
        alice.enrol(office, clock())
    else:
        ssh.with_code("alice", alice.code(clock()), KEY, ADDRESS)


def test_a_recovery_code_logs_in_once(office, alice):
    (code, *_) = office.access.recovery_codes("alice")
    office.accounts.ssh.with_code("alice", code, KEY, ADDRESS)
    with pytest.raises(LoginRefused):
        office.accounts.ssh.with_code("alice", code, KEY, ADDRESS)


@pytest.mark.parametrize(
    "end", ["revoke", "everywhere", "disable", "reset", "expiry", "all of a person"]
)
def test_a_session_ends_with_all_that_ends_sessions(office, alice, clock, end):
    ssh = office.accounts.ssh
    entered = ssh.with_code("alice", alice.code(clock()), KEY, ADDRESS)
    assert ssh.running([entered.session_id]) == {entered.session_id}
    match end:
        case "revoke":
            office.access.revoke([entered.session_id])
        case "everywhere":
            office.accounts.own.end_sessions(alice.who)
        case "disable":
            office.people.set_disabled("alice", disabled=True)
            office.people.set_disabled("alice", disabled=False)
        case "reset":
            office.people.reset_keys("alice")
        case "expiry":
            clock.forward(12 * 3600)
        case "all of a person":
            office.access.revoke_all("alice")
    assert ssh.with_key("alice", KEY, ADDRESS) is None
    assert ssh.running([entered.session_id]) == set()


def test_a_session_without_a_key_ends_when_its_connection_does(office, alice, clock):
    entered = office.accounts.ssh.with_code("alice", alice.code(clock()), NO_KEY, ADDRESS)
    assert not entered.lasts
    assert {each.door for each in office.access.sessions("alice")} == {"native", "ssh"}
    office.accounts.ssh.left(entered)
    assert {each.door for each in office.access.sessions("alice")} == {"native"}


def test_a_session_is_shown_with_its_key_and_one_more_of_the_same_key_takes_its_place(
    office, alice, clock
):
    ssh = office.accounts.ssh
    first = ssh.with_code("alice", alice.code(clock()), KEY, ADDRESS)
    second = ssh.with_code("alice", alice.code(clock(), 1), KEY, ADDRESS)
    ssh.left(second)  # the session outlives its connection
    shown = {each.id: each.door for each in office.accounts.own.sessions(alice.who).sessions}
    assert first.session_id not in shown
    assert shown[second.session_id] == f"ssh {crypto.as_fingerprint(KEY)}"


def test_a_session_that_moves_is_recorded(office, alice, clock):
    ssh = office.accounts.ssh
    ssh.with_code("alice", alice.code(clock()), KEY, ADDRESS)
    ssh.with_key("alice", KEY, ELSEWHERE)
    assert events(office, "session-moved") == [f"door=ssh, before from {ADDRESS}"]
    assert [each.address for each in office.access.sessions() if each.door != "native"] == [
        ELSEWHERE
    ]


def test_a_session_from_another_network_causes_a_notice(office, alice, clock):
    ssh = office.accounts.ssh
    ssh.with_code("alice", alice.code(clock()), KEY, ADDRESS)  # the address of the enrolment
    _, welcome = office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, ADDRESS)
    assert welcome.notices == []
    ssh.with_code("alice", alice.code(clock(), 1), OTHER_KEY, ELSEWHERE)
    _, welcome = office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, ADDRESS)
    assert [(each.kind, each.address) for each in welcome.notices] == [("ssh-session", ELSEWHERE)]


def test_the_ticket_of_no_native_login_is_that_of_a_session_over_ssh(office, alice, clock):
    office.accounts.ssh.with_code("alice", alice.code(clock()), KEY, ADDRESS)
    for ticket in (b"", KEY, bytes(32)):
        with pytest.raises(LoginRefused):
            office.accounts.login(alice.login(ticket=ticket), CHANNEL, ADDRESS)


def test_a_code_used_over_ssh_allows_a_native_login_with_the_key_alone(office, alice, clock):
    bob = office.add("bob")
    bob.enrol(office, clock(), -1)
    entered = office.accounts.ssh.with_code("alice", alice.code(clock()), KEY, ADDRESS)
    used = CodeUsed(entered.user_id)
    for ask in (
        alice.login(signature=bytes(64)),
        alice.login(ticket=b"a ticket"),
        alice.login(alice.code(clock(), 1)),
        bob.login(),
    ):
        with pytest.raises(LoginRefused):
            office.accounts.log_in_after_code(used, ask, CHANNEL, ADDRESS)
    who, _ = office.accounts.log_in_after_code(used, alice.login(), CHANNEL, ADDRESS)
    assert who.user == "alice"


def test_guesses_without_the_key_lock_the_ssh_listener_and_not_the_native_one(
    office, alice, clock, strict
):
    for number in range(5):
        with pytest.raises(LoginRefused):
            strict.ssh.with_code("alice", "wrong", KEY, f"198.51.100.{number}")
    assert events(office, "account-locked") == ["door=ssh, this door alone, after 5 refusals"]
    with pytest.raises(LoginRefused):
        strict.ssh.with_code("alice", alice.code(clock()), KEY, ADDRESS)
    assert events(office, "login-refused")[-1] == "door=ssh, locked"
    shown = office.people.show("alice")
    assert (shown.locked_ms, shown.refused_over_ssh) == (None, 5)
    strict.login(alice.login(alice.code(clock())), CHANNEL, ADDRESS)  # this unlocks SSH logins
    strict.ssh.with_code("alice", alice.code(clock(), 1), KEY, ADDRESS)


def test_the_administrator_unlocks_the_ssh_listener(office, alice, clock, strict):
    for _ in range(5):
        with pytest.raises(LoginRefused):
            strict.ssh.with_code("alice", "wrong", KEY, ADDRESS)
    office.access.unlock("alice")
    strict.ssh.with_code("alice", alice.code(clock()), KEY, ADDRESS)


def test_guesses_over_ssh_are_throttled_like_native_ones(office, alice, clock):
    for _ in range(5):
        with pytest.raises(LoginRefused):
            office.accounts.ssh.with_code("alice", "wrong", KEY, ELSEWHERE)
    with pytest.raises(LoginRefused):  # throttled: the code is not checked
        office.accounts.ssh.with_code("alice", alice.code(clock()), KEY, ELSEWHERE)
    office.accounts.ssh.with_code("alice", alice.code(clock()), KEY, ADDRESS)


@pytest.mark.parametrize("user", ["a" * 65_536, "nul\0", "", "../alice", "\N{GRINNING FACE}"])
def test_an_impossible_name_is_refused_and_not_recorded(office, user):
    with pytest.raises(LoginRefused):
        office.accounts.ssh.with_code(user, "123456", KEY, ADDRESS)
    assert office.accounts.ssh.with_key(user, KEY, ADDRESS) is None
    with office.database.read() as db:
        assert set(db.scalars(text('SELECT "user" FROM login_penalties'))) == {"?", ""}


# --- the revision


def test_down_and_up_keeps_native_sessions_and_drops_those_of_ssh(database_url, tmp_path, clock):
    with closing(Database(database_url)) as database:
        schema.upgrade(database)
        office = Services(database, tmp_path / "blobs", clock)
        alice = office.add("alice")
        alice.enrol(office, clock(), -1)
        office.accounts.ssh.with_code("alice", alice.code(clock()), KEY, ADDRESS)
        schema.downgrade(database, "0006")
        with database.read() as db:
            assert db.scalar(text("SELECT count(*) FROM sessions")) == 1
        schema.upgrade(database)
        assert [each.door for each in office.access.sessions()] == ["native"]
        office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, ADDRESS)
        office.accounts.ssh.with_code("alice", alice.code(clock(), 1), KEY, ADDRESS)
        assert office.accounts.ssh.with_key("alice", KEY, ADDRESS) is not None
