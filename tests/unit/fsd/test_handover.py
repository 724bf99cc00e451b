"""Hand-over of accounts: the account is closed, and members keep using its shared folders."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from fsd.audit.events import AuditEvent
from fsd.services.accounts.terms import AccountTerms, NewValue
from fsd.services.drops.model import DropSource
from fsd.services.files.commits import FileService
from fsd.store import schema
from fsd.store.engine import Database
from fsd.store.repos import quotas as rows
from fsproto.errors import (
    ConflictError,
    FsError,
    LoginRefused,
    NotAllowedError,
    NotFoundError,
    QuotaError,
    UsageError,
)
from fsproto.keys.grants import Role
from tests.support.drops import drop, enter
from tests.support.races import winners
from tests.support.reading import listing_of
from tests.support.services import ADDRESS, CHANNEL, Clock, Services, ServiceUser, audited
from tests.support.shared_folder import make_folder
from tests.support.writers import Writer

pytestmark = pytest.mark.both_databases


def used(office: Services, name: str) -> int:
    """Check that all counters match the stored files; return a user's used bytes."""
    with office.database.read() as db:
        assert rows.differing(db) == []
    return office.people.show(name).used_bytes


def enrolled(office: Services, clock: Clock, name: str, offset: int = 0) -> ServiceUser:
    person = office.add(name)
    person.enrol(office, clock(), offset)
    return person


@pytest.fixture
def alice(office: Services, clock: Clock) -> ServiceUser:
    return enrolled(office, clock, "alice", -1)


@pytest.fixture
def bob(office: Services, clock: Clock) -> ServiceUser:
    return enrolled(office, clock, "bob")


@pytest.fixture
def shared(office: Services, alice: ServiceUser, bob: ServiceUser):
    """A folder that alice shares with bob as a writer, with a file of 60 bytes by bob."""
    made = make_folder(office, alice)
    made.share((bob, Role.WRITER))
    made.send(bob, made.put(bob, "first", b"x" * 60))
    return made


@pytest.mark.one_database
def test_what_is_handed_over_counts_for_the_heir_and_so_does_what_comes_later(office, shared, bob):
    office.add("carol")
    assert (used(office, "alice"), used(office, "carol")) == (60, 0)
    office.people.hand_over("alice", "carol")
    assert (used(office, "alice"), used(office, "carol")) == (0, 60)
    shared.send(bob, shared.put(bob, "second", b"x" * 30))
    assert (used(office, "alice"), used(office, "carol")) == (0, 90)
    shown = office.people.show("alice")
    assert (shown.handed_over_to, shown.files) == ("carol", 2)
    assert office.people.show("carol").holds == ["alice"]


@pytest.mark.one_database
def test_the_quota_of_the_heir_holds(office, shared, bob):
    office.add("carol")
    office.people.change("carol", AccountTerms(quota_bytes=NewValue(100)))
    office.people.change("alice", AccountTerms(quota_bytes=NewValue(10_000)))
    office.people.hand_over("alice", "carol")
    with pytest.raises(QuotaError, match="quota of carol, in which this folder counts"):
        office.files.commit(bob.who, shared.put(bob, "second", b"x" * 41))
    shared.send(bob, shared.put(bob, "second", b"x" * 40))
    assert used(office, "carol") == 100


@pytest.mark.one_database
def test_whoever_sees_something_goes_on_and_may_hold_it_themselves(office, shared, bob):
    office.people.hand_over("alice", "bob")
    listing_of(office, bob.who, shared.node)
    assert used(office, "bob") == 60


def test_no_login_to_a_closed_account_works(office, alice, clock):
    (code, *_) = office.access.recovery_codes("alice")
    office.add("bob")
    office.people.hand_over("alice", "bob")
    clock.forward(3600)
    for otp in (alice.code(clock()), code):
        with pytest.raises(LoginRefused):
            office.accounts.login(alice.login(otp), CHANNEL, ADDRESS)
    with pytest.raises(LoginRefused):
        office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, ADDRESS)
    assert not office.accounts.still_in(alice.who)
    shown = office.people.show("alice")
    assert (shown.recovery_codes, shown.sessions) == (0, 0)


def test_what_waits_for_who_is_gone_goes_too_and_nothing_more_comes(office, alice):
    drop(enter(office, alice), "dropped", bytes(100_000))
    office.add("bob")
    office.groups.add("team")
    office.groups.add_members("team", ["alice", "bob"])
    office.people.hand_over("alice", "bob")
    assert [one.user for one in office.groups.show("team").members] == ["bob"]
    with office.database.read() as db:
        assert db.scalar(text("SELECT count(*) FROM drops")) == 0
    with pytest.raises(NotAllowedError):
        office.drops.enter("alice", DropSource(ADDRESS))


@pytest.mark.one_database
def test_what_others_had_shared_is_taken_away(office, alice, bob):
    made = make_folder(office, bob)
    made.share((alice, Role.READER))
    listing_of(office, alice.who, made.node)
    office.people.hand_over("alice", "bob")
    with pytest.raises(NotFoundError):
        listing_of(office, alice.who, made.node)


@pytest.mark.one_database
def test_a_closed_account_stays_closed(office, alice):
    office.add("bob")
    office.people.hand_over("alice", "bob")
    for act in (
        lambda: office.people.set_disabled("alice", disabled=False),
        lambda: office.people.change("alice", AccountTerms(quota_bytes=NewValue(5))),
        lambda: office.people.reset_keys("alice"),
        lambda: office.people.hand_over("bob", "alice"),
    ):
        with pytest.raises(NotAllowedError, match="closed"):
            act()
    with pytest.raises(FsError):
        office.add("alice")


def test_it_is_handed_on_with_who_holds_it_and_by_itself(office, shared):
    for name in ("carol", "dave", "erin"):
        office.add(name)
    office.people.hand_over("alice", "carol")
    office.people.hand_over("carol", "dave")
    assert [used(office, name) for name in ("alice", "carol", "dave")] == [0, 0, 60]
    assert office.people.show("dave").holds == ["alice", "carol"]
    office.people.hand_over("alice", "erin")
    assert [used(office, name) for name in ("alice", "dave", "erin")] == [0, 0, 60]


@pytest.mark.one_database
def test_who_holds_something_is_not_removed_and_what_is_held_can_be(office, shared):
    office.add("carol")
    office.people.hand_over("alice", "carol")
    with pytest.raises(ConflictError, match="holds the storage of alice"):
        office.people.remove("carol")
    gone = office.people.remove("alice")
    assert (gone.files, used(office, "carol")) == (1, 0)
    office.people.remove("carol")


@pytest.mark.parametrize(
    ("name", "heir", "error"),
    [
        ("alice", "alice", UsageError),
        ("alice", "nobody", NotFoundError),
        ("nobody", "alice", NotFoundError),
        ("al\0ice", "alice", NotFoundError),
    ],
)
@pytest.mark.one_database
def test_what_cannot_be_handed_over_is_said(office, alice, name, heir, error):
    with pytest.raises(error):
        office.people.hand_over(name, heir)
    assert not office.people.show("alice").disabled


@pytest.mark.one_database
def test_it_is_recorded_in_the_same_moment(office, alice):
    office.add("bob")
    office.people.hand_over("alice", "bob")
    ((_, subject, detail),) = audited(office, AuditEvent.USER_HANDED_OVER)
    assert subject == "alice"
    assert detail.startswith("to bob; files: 0")


@pytest.mark.one_database
def test_what_is_written_while_it_is_handed_over_counts_once(office, clock, url_at_head, tmp_path):
    """Ten users write while two administrators on another node hand over accounts."""
    owners = [enrolled(office, clock, f"owner{n}") for n in range(10)]
    office.add("heir")
    office.add("other")
    writers = [
        Writer(office, one, FileService(office.database, office.blobs, now_ms=clock))
        for one in owners
    ]
    with closing(Database(url_at_head)) as database:
        second = Services(database, tmp_path / "second", clock)

        def act(number: int) -> None:
            if number < 10:
                writers[number].write("f", bytes(1000))
            else:
                for name in range(5):
                    second.people.hand_over(f"owner{name}", ("heir", "other")[number % 2])

        winners(act, range(12), refusal=FsError)
    with office.database.read() as db:
        assert rows.differing(db) == []


@pytest.mark.one_database
def test_the_revision_goes_down_and_up_with_closed_accounts(
    database_url: str, tmp_path: Path, clock: Clock
):
    with closing(Database(database_url)) as database:
        schema.upgrade(database)
        office = Services(database, tmp_path / "blobs", clock)
        person = enrolled(office, clock, "alice")
        Writer(office, person, FileService(database, office.blobs, now_ms=clock)).write(
            "f", b"x" * 9
        )
        office.add("bob")
        office.people.hand_over("alice", "bob")
        schema.downgrade(database, "0010")
        schema.upgrade(database)
        assert (used(office, "alice"), used(office, "bob")) == (9, 0)
        assert office.people.show("alice").disabled
        assert office.people.show("alice").handed_over_to is None
