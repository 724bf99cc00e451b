"""Groups at the server: changes by concurrent administrators, and answers to users."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from fsd.audit.events import AuditEvent
from fsd.services.accounts.groups import GroupAdmin
from fsd.services.accounts.terms import AccountTerms, NewValue
from fsd.store import schema
from fsd.store.engine import Database
from fsd.store.group_models import GroupMember
from fsproto.errors import (
    ExistsError,
    FsError,
    InvalidNameError,
    NotAllowedError,
    NotFoundError,
    UsageError,
)
from fsproto.limits import MAX_GROUP
from fsproto.messages.shares import Group
from tests.support.races import winners
from tests.support.services import Clock, Services, audited

pytestmark = pytest.mark.both_databases

RACERS = range(6)


@pytest.fixture
def team(office: Services) -> GroupAdmin:
    """A group of alice and bob; carol has an account too."""
    for name in ("carol", "bob", "alice"):
        office.add(name)
    office.groups.add("team", "the night shift")
    office.groups.add_members("team", ["bob", "alice"])
    return office.groups


@pytest.fixture
def other_admins(url_at_head: str, office: Services, clock: Clock) -> Iterator[list[GroupAdmin]]:
    """Administrators on other machines, each with separate database connections."""
    databases = [Database(url_at_head) for _ in RACERS]
    yield [
        GroupAdmin(database, audit=office.audit, actor="fsadmin:other", now_ms=clock)
        for database in databases
    ]
    for database in databases:
        database.close()


def names(groups: GroupAdmin, group: str = "team") -> list[str]:
    return [one.user for one in groups.show(group).members]


@pytest.mark.one_database
def test_a_group_is_made_and_people_are_put_in_and_taken_out(team, office, clock):
    shown = team.show("team")
    assert (shown.note, shown.created_ms) == ("the night shift", clock())
    assert [one.user for one in shown.members] == ["alice", "bob"]
    assert names(team) == ["alice", "bob"]
    team.add_members("team", ["carol", "carol"])  # a name given twice is added once
    team.remove_members("team", ["alice", "bob"])
    assert names(team) == ["carol"]
    team.add("another")
    assert [one.name for one in team.everything()] == ["another", "team"]
    team.remove("team")
    assert [one.name for one in team.everything()] == ["another"]
    assert {one.name for one in office.people.everybody()} == {"alice", "bob", "carol"}


@pytest.mark.one_database
def test_a_group_may_be_called_what_a_person_is(team):
    team.add("alice")
    team.add_members("alice", ["alice"])
    assert names(team, "alice") == ["alice"]


@pytest.mark.one_database
def test_what_is_wrong_is_said_and_all_or_nothing_is_done(team):
    wrong: list[tuple[type[FsError], Callable[[], object]]] = [
        (ExistsError, lambda: team.add("team")),
        (InvalidNameError, lambda: team.add("Te am")),
        (InvalidNameError, lambda: team.add("@team")),
        (InvalidNameError, lambda: team.add("")),
        (UsageError, lambda: team.add("new", "two\nlines")),
        (UsageError, lambda: team.add("new", "n" * 257)),
        (ExistsError, lambda: team.add_members("team", ["carol", "bob"])),
        (NotFoundError, lambda: team.add_members("team", ["carol", "nobody"])),
        (NotFoundError, lambda: team.add_members("team", ["carol", "\x1b[2J"])),
        (NotFoundError, lambda: team.add_members("nothing", ["carol"])),
        (NotFoundError, lambda: team.remove_members("team", ["alice", "carol"])),
        (NotFoundError, lambda: team.remove_members("team", ["alice", "nobody"])),
        (NotFoundError, lambda: team.remove_members("nothing", ["alice"])),
    ]
    for error, act in wrong:
        with pytest.raises(error) as refusal:
            act()
        assert type(refusal.value) is error
        assert refusal.value.sentence.isprintable()
    assert names(team) == ["alice", "bob"]
    assert [one.name for one in team.everything()] == ["team"]


@pytest.mark.cases(12)
@pytest.mark.parametrize(
    "act",
    [GroupAdmin.show, GroupAdmin.remove, lambda groups, name: groups.add_members(name, ["alice"])],
)
@pytest.mark.parametrize("name", ["nothing", "te\0am", "\x1b[2Jteam", "\ud800", "", "a" * 10_000])
@pytest.mark.one_database
def test_a_group_that_is_not_there_is_not_found_and_quoted_safely(team, act, name):
    with pytest.raises(NotFoundError) as refusal:
        act(team, name)
    assert refusal.value.sentence.isprintable()
    assert len(refusal.value.sentence) < 600


@pytest.mark.one_database
def test_a_group_has_an_end(office):
    office.groups.add("all")
    people = [f"p{number}" for number in range(3)]
    for name in people:
        office.add(name)
    with office.database.write() as db:  # fill the group without generating keys
        db.execute(
            text(
                "INSERT INTO users (name, disabled, created_ms, otp_secret, otp_digits, "
                "otp_period, otp_algorithm, last_step) SELECT 'u' || (id * 1000 + :n), false, 0, "
                "otp_secret, 6, 30, 'SHA1', 0 FROM users WHERE name = 'p0'"
            ),
            [{"n": number} for number in range(MAX_GROUP - 1)],
        )
    office.groups.add_members("all", [f for f in _names(office) if f.startswith("u")])
    with pytest.raises(NotAllowedError, match="no user was added"):
        office.groups.add_members("all", people[:2])
    assert len(office.groups.add_members("all", people[:1]).members) == MAX_GROUP
    assert len(office.sharing.group("all").members) == MAX_GROUP
    with pytest.raises(NotAllowedError):
        office.groups.add_members("all", people[1:2])


def _names(office: Services) -> list[str]:
    with office.database.read() as db:
        return list(db.scalars(text("SELECT name FROM users ORDER BY id")))


@pytest.mark.one_database
def test_a_removed_user_leaves_all_groups_and_a_reset_user_stays(team, office, clock):
    alice = office.add("dora")
    alice.enrol(office, clock())
    team.add("other")
    for group in ("team", "other"):
        team.add_members(group, ["dora"])
    office.people.reset_keys("dora")
    assert "dora" in names(team)
    office.people.remove("dora")
    assert names(team) == ["alice", "bob"]
    office.add("dora")  # a new user with the same name
    assert names(team) == ["alice", "bob"]
    removed = audited(office, AuditEvent.GROUP_MEMBER_REMOVED, AuditEvent.USER_REMOVED)
    assert removed == [
        ("group-member-removed", "dora", "@other"),
        ("group-member-removed", "dora", "@team"),
        ("user-removed", "dora", "files: 0, stored bytes: 0, shared: 0, with people: 0"),
    ]


@pytest.mark.one_database
def test_everything_is_audited_and_what_was_refused_is_not(team, office):
    with pytest.raises(ExistsError):
        team.add_members("team", ["carol", "bob"])
    team.remove_members("team", ["bob"])
    team.remove("team")
    assert audited(
        office,
        AuditEvent.GROUP_ADDED,
        AuditEvent.GROUP_REMOVED,
        AuditEvent.GROUP_MEMBER_ADDED,
        AuditEvent.GROUP_MEMBER_REMOVED,
    ) == [
        ("group-added", "", "@team"),
        ("group-member-added", "bob", "@team"),
        ("group-member-added", "alice", "@team"),
        ("group-member-removed", "bob", "@team"),
        ("group-removed", "", "@team"),
    ]
    assert office.audit.look(office.database).findings == []


# --- two administrators at once


def test_of_several_concurrent_creations_of_a_group_one_succeeds(other_admins, office):
    assert winners(lambda n: other_admins[n].add("team"), RACERS, refusal=ExistsError) == 1
    assert [one.name for one in office.groups.everything()] == ["team"]
    assert len(audited(office, AuditEvent.GROUP_ADDED)) == 1


def test_of_several_concurrent_additions_to_a_group_one_succeeds(team, other_admins, office):
    put = lambda n: other_admins[n].add_members("team", ["carol"])  # noqa: E731
    assert winners(put, RACERS, refusal=ExistsError) == 1
    assert names(team) == ["alice", "bob", "carol"]
    taken = lambda n: other_admins[n].remove_members("team", ["carol"])  # noqa: E731
    assert winners(taken, RACERS, refusal=NotFoundError) == 1
    assert names(team) == ["alice", "bob"]


@pytest.mark.one_database
def test_those_who_put_the_same_people_in_in_another_order_do_not_wait_for_each_other(
    team, other_admins, office
):
    team.add("other")
    many = [f"x{number}" for number in range(8)]
    for name in many:
        office.add(name)

    def put(number: int) -> None:
        group, people = ("team", many) if number % 2 else ("other", many[::-1])
        other_admins[number].add_members(group, people)

    assert winners(put, RACERS, refusal=ExistsError) == 2
    assert set(many) <= set(names(team)) & set(names(team, "other"))


def test_a_group_and_a_person_removed_in_the_meantime_leave_no_rows(team, other_admins, office):
    def act(number: int) -> None:
        match number:
            case 0:
                team.remove("team")
            case 1:
                office.people.remove("carol")
            case _:
                other_admins[number].add_members("team", ["carol"])

    assert winners(act, RACERS, refusal=(NotFoundError, ExistsError)) >= 2
    assert team.everything() == []
    with office.database.read() as db:
        assert db.scalar(select(func.count()).select_from(GroupMember)) == 0
    assert office.audit.look(office.database).findings == []


# --- answers to users


@pytest.mark.one_database
def test_the_members_of_a_group_omit_expired_users(team, office, clock):
    office.people.change("bob", AccountTerms(expires_ms=NewValue(clock() + 1)))
    assert office.sharing.group("team") == Group(["alice", "bob"])
    clock.forward(1)
    assert office.sharing.group("team") == Group(["alice"])


@pytest.mark.one_database
def test_the_members_of_a_group_omit_disabled_users(team, office):
    assert office.sharing.group("team") == Group(["alice", "bob"])
    office.people.set_disabled("bob", disabled=True)
    assert office.sharing.group("team") == Group(["alice"])
    office.people.set_disabled("bob", disabled=False)
    assert office.sharing.group("team") == Group(["alice", "bob"])
    for name in ("nothing", "te\0am", "\ud800", "", "Team"):
        with pytest.raises(NotFoundError):
            office.sharing.group(name)


# --- the revision


@pytest.mark.one_database
def test_down_and_up_leaves_people_and_their_files(database_url, tmp_path: Path, clock):
    with closing(Database(database_url)) as database:
        schema.upgrade(database)
        office = Services(database, tmp_path / "blobs", clock)
        alice = office.add("alice")
        alice.enrol(office, clock())
        alice.put(office, "small", b"sealed")
        office.groups.add("team")
        office.groups.add_members("team", ["alice"])
        before = office.people.show("alice")
        schema.downgrade(database, "0006")
        schema.upgrade(database)
        assert office.people.show("alice") == before
        assert office.groups.everything() == []
        office.groups.add("team")
        office.groups.add_members("team", ["alice"])
        office.people.remove("alice")
        assert names(office.groups) == []
