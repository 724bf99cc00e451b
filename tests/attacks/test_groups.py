"""Groups: a member list from the server never grants access by itself, whatever it contains.

Known from Rösler, Mainka, Schwenk, "More is Less: On the End-to-End Security of Group Chats in
Signal, WhatsApp, and Threema" (EuroS&P 2018): where the server supplies the list of group members
and clients seal to everyone on it, the operator of the server can add themselves to a group.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing

import pytest
from msgspec.structs import replace

from fsd import factory
from fsd.home.home import Home
from fsproto.errors import FsError
from fsproto.keys.grants import Role, unwrap
from fsproto.keys.identity import Identity
from fsproto.keys.member_list import GroupedList, MemberList, MemberOrigin, stated_members
from fsproto.limits import MAX_GROUP
from fsproto.messages import Message
from fsproto.messages.files import Commit
from fsproto.messages.keylog import BundleOf
from fsproto.messages.shares import Group, Shared
from fsproto.packing import pack
from fsproto.signed import Signed
from tests.attacks.test_shared_keys import admin, taken_over
from tests.support.hostile_server import HostileServer, Lie, Rewrites
from tests.support.team import Q1
from tests.support.world import FILES, Person, World

OLD = FILES["alice"]["archive/old.txt"]


@pytest.fixture
def night(team: World, server: HostileServer) -> HostileServer:
    """The server, with a group of alice, bob and dora; dora has not enrolled."""
    home = Home(team.home)
    with closing(factory.open_database(home, None)) as database:
        factory.people(home, database).add("dora", digits=6, period=30, algorithm="SHA1")
        groups = factory.groups(home, database)
        groups.add("night")
        groups.add_members("night", ["alice", "bob", "dora"])
    return server


def lists(team: World) -> dict[bytes, MemberList]:
    """Return the member lists that the server has, by their node."""
    with team.database() as db:
        rows = db.execute("SELECT payload, signature FROM member_lists").fetchall()
    return {one.node: one for one in (stated_members(Signed(*row)) for row in rows)}


def members(team: World, path: str) -> list[str] | None:
    """Return the names on the server's member list of a node; None if there is no list."""
    found = lists(team).get(team.alice.find(path).keyed.node)
    return None if found is None else [one.user for one in found.members]


class Grows(Lie):
    """A server that answers truly about a group once, and adds a member to all later answers."""

    def __init__(self, *more: str) -> None:
        self._more = more
        self.asked = 0

    def answer(self, ask: Message, honestly: Callable[[Message], Message]) -> Message:
        """Change the second answer and all later ones."""
        said = honestly(ask)
        if isinstance(said, Group):
            self.asked += 1
            if self.asked > 1:
                return Group(sorted([*said.members, *self._more]))
        return said


def test_a_person_added_between_showing_and_sealing_gets_nothing(
    team: World, night: HostileServer
) -> None:
    night.lie = grows = Grows("carol")
    ran = team.alice.run("share", "archive", "@night", "--yes")
    assert (ran.status, "carol" in ran.err) == (0, False)
    assert grows.asked == 1
    assert members(team, "archive") == ["bob"]
    team.carol.run("ls", "alice:archive").fails(5)
    assert team.bob.cat("alice:archive/old.txt") == OLD


def test_a_later_member_of_a_group_gets_nothing_until_the_owner_shares_again(
    team: World, night: HostileServer
) -> None:
    alice, bob, carol = team.alice, team.bob, team.carol
    alice.run("share", "archive", "@night", "--yes").succeeds()
    alice.run("share", "archive", "bob").succeeds()
    night.lie = Rewrites(Group, lambda said: Group([*said.members, "carol"]))
    assert b"carol is in @night now and cannot see it" in alice.run("shares").succeeds()
    # The owner's actions that sign a new list or need a new key do not add carol.
    alice.run("put", alice.write("new", b"new"), "archive/new").succeeds()
    alice.run("mv", "archive", "reports/").succeeds()
    alice.run("mv", "reports/archive", "archive").succeeds()
    alice.run("unshare", "archive", "bob", "--now").succeeds()
    alice.run("share", "archive", "bob").succeeds()
    bob.run("--otp", bob.app.fresh(), "keys", "rotate").succeeds()
    alice.run("shares").succeeds()
    assert members(team, "archive") == ["bob"]
    carol.run("ls", "alice:archive").fails(5)
    alice.run("share", "archive", "@night", "--yes").succeeds()
    assert members(team, "archive") == ["bob", "carol"]
    assert carol.cat("alice:archive/old.txt") == OLD


def test_a_list_of_people_that_cannot_be_is_refused(team: World, night: HostileServer) -> None:
    lies: dict[str, list[str]] = {
        "twice": ["bob", "bob"],
        "terminal": ["bob", "\x1b[2J\x1b]0;owned\x07"],
        "lookalike": ["bob", "сarol"],  # noqa: RUF001 - that is what it is about
        "line": ["bob\n  carol  verified by safety number"],
        "no name": ["bob", ""],
        "group": ["bob", "@night"],
        "long": ["bob", "b" * 65],
        "ten thousand": [f"person{number}" for number in range(10_000)],
        "one too many": [f"person{number}" for number in range(MAX_GROUP + 1)],
    }
    for people in lies.values():
        night.lie = Rewrites(Group, lambda _, people=people: Group(people))  # type: ignore[misc]
        told = team.alice.run("share", "archive", "@night", "--yes").fails(7)
        assert "\x1b" not in told
        assert members(team, "archive") is None
    team.alice.run("share", "reports", "@night", "--yes").fails(7)
    night.lie = Lie()
    team.alice.run("share", "archive", "@night", "--yes").succeeds()
    for people in lies.values():
        night.lie = Rewrites(Group, lambda _, people=people: Group(people))  # type: ignore[misc]
        assert "\x1b" not in team.alice.run("shares").fails(7)
    assert members(team, "archive") == ["bob"]


def test_the_owner_and_people_without_keys_are_left_out(team: World, night: HostileServer) -> None:
    ran = team.alice.run("share", "archive", "@night", "--yes")
    assert ran.status == 0
    assert "dora  has not enrolled yet: left out" in ran.err
    assert "  alice" not in ran.err
    assert members(team, "archive") == ["bob"]
    for people in (["alice"], ["dora"], [], ["unknown.user"]):
        night.lie = Rewrites(Group, lambda _, people=people: Group(people))  # type: ignore[misc]
        team.alice.run("share", "reports/deep", "@night", "--yes").fails(5)
    assert members(team, "reports/deep") is None


def pinned(person: Person) -> list[str]:
    from fsclient.trust.pins import PinStore

    store = PinStore(person.profile / "people.db")
    try:
        return [pin.user for pin in store.pins()]
    finally:
        store.close()


def test_other_keys_for_one_of_a_group_stop_the_whole_share(
    team: World, night: HostileServer
) -> None:
    # First the answer alone lies, then the key log lies too; nothing is ever shared with bob.
    admin(team, "add-member", "night", "carol")
    own = Identity.generate("carol", 1, os.urandom)

    def other(said: BundleOf) -> BundleOf:
        return BundleOf(own.bundle.signed) if b"carol" in said.bundle.payload else said

    night.lie = Rewrites(BundleOf, other)
    told = team.alice.run("share", "archive", "@night", "--yes").fails(7)
    assert "THE SERVER SENT OTHER KEYS FOR carol" in told
    assert members(team, "archive") is None
    night.lie = Lie()
    taken_over(team.home, "carol")
    ran = team.alice.run("share", "archive", "@night", "--yes")
    assert ran.status == 7
    assert "THE KEYS OF carol ARE NO LONGER THOSE YOU KNOW" in ran.err
    assert members(team, "archive") is None
    team.bob.run("ls", "alice:archive").fails(5)


def test_no_member_of_a_group_is_pinned_before_the_owner_confirms(
    team: World, night: HostileServer
) -> None:
    (team.alice.profile / "people.db").unlink()
    ran = team.alice.run("share", "archive", "@night")
    assert (ran.status, "--yes" in ran.err) == (2, True)
    assert "new to this client" in ran.err
    assert "bob" not in pinned(team.alice)
    assert members(team, "archive") is None
    team.alice.run("share", "archive", "@night", "--yes").succeeds()
    assert "bob" in pinned(team.alice)


class Later(Lie):
    """A server that acts at the second request for the user's shares, after the confirmation."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self._done = False

    def hears(self, connection: object, event: object) -> None:
        """Act, once."""
        if isinstance(getattr(event, "message", None), Commit) and not self._done:
            self._done = True
            self._act()


def test_keys_replaced_after_the_confirmation_are_not_sealed_to(
    team: World, night: HostileServer
) -> None:
    own: list[Identity] = []
    night.lie = Later(lambda: own.append(taken_over(team.home, "bob")))
    ran = team.alice.run("share", "archive", "@night", "--yes")
    assert ran.status in (7, 8)
    assert len(own) == 1
    assert members(team, "archive") is None


def test_the_share_is_sealed_to_the_keys_that_were_shown(team: World, night: HostileServer) -> None:
    # The server answers truly about all keys the first time, and lies from then on.
    own, asked = Identity.generate("bob", 1, os.urandom), list[BundleOf]()

    def other(said: BundleOf) -> BundleOf:
        asked.append(said)
        return said if len(asked) == 1 else BundleOf(own.bundle.signed)

    night.lie = Rewrites(BundleOf, other)
    team.alice.run("share", "archive", "@night", "--yes").succeeds()
    with team.database() as db:
        node = team.alice.find("archive").keyed.node
        ask = "SELECT sealed FROM grants WHERE node_id = ?"
        (sealed,) = db.execute(ask, (node,)).fetchone()
    with pytest.raises(FsError):
        unwrap(sealed, node, 1, Role.READER, own)
    assert team.bob.cat("alice:archive/old.txt") == OLD


# --- the group through which a member has access


def bent(said: Shared, how: Callable[[MemberList], MemberList]) -> Shared:
    """Return the user's own shares with changed lists under the old signatures."""

    def change(signed: Signed) -> Signed:
        return Signed(pack(how(stated_members(signed))), signed.signature)

    return replace(said, shared=[replace(o, members=change(o.members)) for o in said.shared])


def changes() -> Iterator[Callable[[MemberList], MemberList]]:
    def with_came(body: MemberList, came: Iterable[MemberOrigin]) -> MemberList:
        return replace(body, came=list(came)) if isinstance(body, GroupedList) else body

    yield lambda body: with_came(body, [MemberOrigin("bob", "other", Role.READER)])
    yield lambda body: with_came(body, [*body.came, MemberOrigin("bob", "", Role.READER)])
    yield lambda body: with_came(body, [])


def test_the_server_cannot_invent_the_group_of_a_member(team: World, night: HostileServer) -> None:
    team.alice.run("share", "archive", "@night", "--yes").succeeds()
    for how in changes():
        night.lie = Rewrites(Shared, lambda said, how=how: bent(said, how))  # type: ignore[misc]
        for command in (("shares",), ("unshare", "archive", "@night", "--yes")):
            assert team.alice.run(*command).status == 7
    night.lie = Lie()
    assert members(team, "archive") == ["bob"]


def test_a_group_that_is_said_to_be_empty_or_gone_is_taken_out_all_the_same(
    team: World, night: HostileServer
) -> None:
    admin(team, "add-member", "night", "carol")
    team.alice.run("share", "archive", "@night", "--yes").succeeds()
    assert team.carol.cat("alice:archive/old.txt") == OLD
    night.lie = Rewrites(Group, lambda _: Group(["alice"]))
    told = team.alice.run("shares", "archive").succeeds()
    assert told.count(b"is not in @night any more and still has it") == 2
    assert members(team, "archive") == ["bob", "carol"]
    night.lie = Lie()
    admin(team, "remove-group", "night", "--yes")
    assert b"@night no longer exists" in team.alice.run("shares", "archive").succeeds()
    team.alice.run("unshare", "archive", "@night", "--yes").succeeds()
    assert members(team, "archive") == []
    for one in (team.bob, team.carol):
        one.run("ls", "alice:archive").fails(5)
    assert team.carol.cat("alice:reports/q1.txt") == Q1
