"""A key rotation and the lists and tops that it renews are one change for everybody."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fsclient.sharing import rotation
from fsclient.sharing.rotation import RotationWithShares
from fsd.net.dispatch import Dispatcher
from fskit.clock import now_ms
from fsproto.errors import ConflictError
from fsproto.keys.member_list import stated_members
from fsproto.limits import MAX_ROTATE_PARTS
from fsproto.messages.base import Done, Failure, Message
from fsproto.messages.files import Commit
from fsproto.messages.keylog import Rotate, RotatePart
from fsproto.messages.shares import GetShared
from fsproto.signed import Signed
from fsproto.wire.connection import Event, Packed
from tests.conftest import TIER
from tests.support.hostile_server import Answers, HostileServer, Lie
from tests.support.opened_by import OpenedBy
from tests.support.raw_client import RawClient
from tests.support.team import DEEP, Q1, identity
from tests.support.world import Person, Ran, World


class AtRotations(Lie):
    """Does something when a key rotation comes, or when it was made."""

    def __init__(
        self,
        *,
        before: Callable[[int], None] = lambda _: None,
        after: Callable[[], None] = lambda: None,
        answer: Message | None = None,
    ) -> None:
        """`before` gets the number of the rotation, from 0; `answer` replaces the true answer."""
        self._before, self._after, self._answer = before, after, answer
        self.came: list[list[RotatePart]] = []
        """The parts of each rotation that came."""

    def parts(self, parts: list[RotatePart]) -> list[RotatePart]:
        self.came.append(parts)
        return parts

    def serve(self, ask: Message, by: Callable[[Dispatcher | None], Answers]) -> Answers:
        if not isinstance(ask, Rotate):
            return by(None)
        self._before(len(self.came) - 1)
        said = by(None)
        self._after()
        return self._answer or said


def rotates(person: Person, *options: str) -> Ran:
    return person.run("--otp", person.app.fresh(), "keys", "rotate", *options)


@pytest.fixture
def sharing(team: World, server: HostileServer) -> World:
    """A team that also shares a folder in the shared folder, and a file alone."""
    alice = team.alice
    alice.run("share", "reports/deep", "bob").succeeds()
    alice.run("share", "archive/old.txt", "carol").succeeds()
    team.carol.run("ls", "alice:").succeeds()
    return team


def fresh(person: Person, to: Path) -> Person:
    """Return another device of a person, which has seen nothing yet."""
    other = person.copy(to)
    other.forget()
    return other


def look(team: World, to: Path, *, everywhere: bool = TIER == "soak") -> None:
    """Check that members read and write, on devices that have seen the shares and on new ones.

    Unless it is done `everywhere`, bob has a device that has seen them, and carol a new one.
    """
    bobs, carols = [team.bob], [fresh(team.carol, to / "carol")]
    if everywhere:
        bobs.append(fresh(team.bob, to / "bob"))
        carols.append(team.carol)
    for one in (*bobs, *carols):
        assert one.cat("alice:reports/q1.txt") == Q1
        assert one.cat("alice:reports/deep/d.txt") == DEEP
        one.run("shares").succeeds()
        one.run("ls", "alice:").succeeds()
        assert one.run("doctor", "alice:reports").status == 0
    for one in bobs:
        assert one.cat("alice:deep/d.txt") == DEEP
        one.run("put", one.write("by bob", b"bob's"), "alice:reports/deep/").succeeds()
    for one in carols:
        assert one.cat("alice:old.txt") == b"long ago\n"
        assert one.cat("alice:reports/deep/by bob") == b"bob's"


# --- an honest server


def test_members_notice_nothing_just_after_the_owner_has_rotated(
    sharing: World, server: HostileServer, tmp_path: Path
) -> None:
    """They look while the answer to the rotation is on its way."""
    wrong: list[BaseException] = []

    def then() -> None:
        server.lie = Lie()
        try:
            look(sharing, tmp_path / "devices", everywhere=True)
        except BaseException as error:  # noqa: BLE001 - the server's thread would hide it
            wrong.append(error)

    server.lie = AtRotations(after=then)
    rotates(sharing.alice).succeeds()
    assert not wrong, wrong
    look(sharing, tmp_path / "later devices")


def test_members_notice_nothing_if_the_owners_command_ends_there(
    sharing: World, server: HostileServer, tmp_path: Path
) -> None:
    """The owner gives no further command: nothing is left for it to do."""
    server.lie = AtRotations(answer=Failure("internal", "It went wrong.", "", 0))
    rotates(sharing.alice).fails(1)
    server.lie = Lie()
    look(sharing, tmp_path / "devices")
    assert sharing.alice.cat("reports/deep/by bob") == b"bob's"


def once(act: Callable[[], Ran]) -> Callable[[int], None]:
    """Return what gives a command before the first rotation is made."""

    def before(number: int) -> None:
        if not number:
            act().succeeds()

    return before


def tried(team: World, server: HostileServer, before: Callable[[int], None]) -> AtRotations:
    """Rotate alice's keys while others act; check that it succeeds; return what came."""
    server.lie = lie = AtRotations(before=before)
    rotates(team.alice).succeeds()
    server.lie = Lie()
    return lie


def test_what_a_member_writes_in_the_meantime_stays(
    sharing: World, server: HostileServer, tmp_path: Path
) -> None:
    bob = sharing.bob
    local = bob.write("new", b"new")
    lie = tried(sharing, server, once(lambda: bob.run("put", local, "alice:reports/new")))
    assert [bool(parts) for parts in lie.came] == [True, True]
    look(sharing, tmp_path / "devices")
    assert sharing.alice.cat("reports/new") == b"new"


def test_a_new_folder_of_another_device_stays(
    sharing: World, server: HostileServer, tmp_path: Path
) -> None:
    phone = sharing.alice.copy(tmp_path / "phone")
    lie = tried(sharing, server, once(lambda: phone.run("mkdir", "made", "reports/made")))
    assert [bool(parts) for parts in lie.came] == [True, True]
    look(sharing, tmp_path / "devices")
    assert b"made/" in sharing.alice.run("ls").succeeds()
    assert b"made/" in sharing.carol.run("ls", "alice:reports").succeeds()


def test_the_new_keys_are_sealed_to_the_new_keys_of_a_member(
    sharing: World, server: HostileServer, tmp_path: Path
) -> None:
    lie = tried(sharing, server, once(lambda: rotates(sharing.bob)))
    assert [bool(parts) for parts in lie.came] == [True, False, True]  # the second one is bob's
    look(sharing, tmp_path / "devices")


def test_a_person_who_is_removed_in_the_meantime_opens_nothing_that_was_registered(
    sharing: World, server: HostileServer, tmp_path: Path
) -> None:
    """The keys of the first attempt were sealed to carol: the second one must have others."""
    phone, reader = sharing.alice.copy(tmp_path / "phone"), OpenedBy(identity(sharing.carol))
    with sharing.database() as db:
        reader.read_database(db)
    lie = tried(sharing, server, once(lambda: phone.run("unshare", "reports", "carol")))
    first, last = ([commit_of(part) for part in parts] for parts in lie.came)
    reports = sharing.alice.find("reports").keyed
    assert any(one.node == reports.node for each in first for one in reader.read_commit(each))
    with sharing.database() as db:
        reader.read_database(db)
    opened = {one.node for each in last for one in reader.read_commit(each)}
    assert opened == {sharing.alice.find("archive/old.txt").keyed.node}
    sharing.alice.run("put", sharing.alice.write("new", b"new"), "reports/new").succeeds()
    assert sharing.bob.cat("alice:reports/new") == b"new"
    sharing.carol.run("cat", "alice:reports/new").fails(5)


def commit_of(part: RotatePart) -> Commit:
    return Commit(part.states, part.manifests, part.removals, [], part.members)


def test_a_share_that_changes_without_pause_does_not_prevent_the_rotation(
    sharing: World, server: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left out, and renewed after the rotation; the other shares are in it."""
    monkeypatch.setattr(rotation, "_SIGNED", 2)
    alice, bob = sharing.alice, sharing.bob
    alice.run("share", "archive", "bob", "--write").succeeds()
    bob.run("ls", "alice:archive").succeeds()
    local = bob.write("again", b"again")

    def before(number: int) -> None:
        bob.run("put", local, f"alice:archive/{number}").succeeds()

    lie = tried(sharing, server, before)
    lists = [
        {stated_members(new.members).node for part in parts for new in part.members}
        for parts in lie.came
    ]
    archive = alice.find("archive").keyed.node
    assert [archive in nodes for nodes in lists] == [True] * 4 + [False]
    assert alice.find("reports").keyed.node in lists[-1]
    look(sharing, tmp_path / "devices")
    assert bob.cat("alice:archive/4") == b"again"


def test_keys_are_rotated_also_if_no_share_can_be_renewed_with_them(
    sharing: World, server: HostileServer, tmp_path: Path
) -> None:
    class Refuses(Lie):
        def parts(self, parts: list[RotatePart]) -> list[RotatePart]:
            if parts:
                raise ConflictError
            return parts

    before = identity(sharing.alice).bundle.fingerprint
    server.lie = Refuses()
    rotates(sharing.alice).succeeds()
    server.lie = Lie()
    assert identity(sharing.alice).bundle.fingerprint != before
    look(sharing, tmp_path / "devices")


def test_shares_with_too_many_names_in_one_folder_are_renewed_after_the_rotation(
    sharing: World, server: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server refuses to look up so many; the other shares are in the rotation."""
    monkeypatch.setattr(rotation, "MAX_TOKENS", 3)  # of the top: one name under two keys
    server.lie = lie = AtRotations()
    rotates(sharing.alice).succeeds()
    (parts,) = lie.came
    renewed = {stated_members(new.members).node for part in parts for new in part.members}
    assert renewed == {sharing.alice.find("archive/old.txt").keyed.node}
    look(sharing, tmp_path / "devices")


class LeavesOut(Lie):
    """Takes nothing that a rotation renews; once the keys are new, it shows no shares."""

    rotated = False

    def parts(self, parts: list[RotatePart]) -> list[RotatePart]:
        if parts:
            raise ConflictError
        self.rotated = True
        return parts

    def answers(self, ask: Message, honestly: Callable[[Message], Answers]) -> Answers:
        if self.rotated and isinstance(ask, GetShared):
            return Failure("internal", "It went wrong.", "", 0)
        return honestly(ask)


def test_a_share_left_out_of_a_rotation_is_no_alarm_and_is_renewed_by_the_next_command(
    sharing: World, server: HostileServer, tmp_path: Path
) -> None:
    """The command that rotates ends before it can renew the shares by themselves.

    One device has seen the lists of all shares, the other one of none.
    """
    sharing.bob.run("ls", "alice:").succeeds()
    server.lie = LeavesOut()
    rotates(sharing.alice).fails(1)
    server.lie = Lie()
    waits = "fsclient: alice has new keys, and has not renewed this share with them yet."
    for one in (sharing.bob, fresh(sharing.bob, tmp_path / "a bob")):
        assert waits in one.run("cat", "alice:deep/d.txt").fails(8)
        assert waits in one.run("put", one.write("x", b"x"), "alice:reports/x").fails(8)
        for words in (["ls", "alice:"], ["shares"]):
            both = one.run(*words)
            assert (both.status, both.err.count(waits)) == (8, 2), both
    sharing.alice.run("ls", "/").succeeds()
    look(sharing, tmp_path / "devices")


def test_a_wrong_code_renews_nothing(sharing: World, server: HostileServer) -> None:
    alice, before = sharing.alice, sharing.alice.find("reports").keyed
    ran = alice.run("--otp", "000000", "keys", "rotate")
    assert ran.status == 4, ran
    assert alice.find("reports").keyed == before
    assert sharing.bob.cat("alice:reports/q1.txt") == Q1


class AfterPreparation(AtRotations):
    """Notes of each request whether it is the rotation."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bool] = []

    def hears(self, connection: object, event: Event) -> None:
        self.asked.append(isinstance(event, Packed) and event.is_a(Rotate))


def test_a_code_is_needed_only_when_all_else_is_at_the_server(
    sharing: World, server: HostileServer
) -> None:
    """With many shares, a code would expire while they are looked at and signed."""
    server.lie = lie = AfterPreparation()
    with sharing.alice.session() as session:
        new = session.identity.successor(now_ms(), os.urandom)
        prepared = RotationWithShares(pytest.fail, session, new)
        lie.asked.clear()
        prepared.register(sharing.alice.app.fresh())
    assert lie.asked == [True]
    assert [bool(parts) for parts in lie.came] == [True]


# --- a server that makes a part of it


class MakesNone(Lie):
    """Registers the new keys, and makes nothing of what they renew."""

    def parts(self, parts: list[RotatePart]) -> list[RotatePart]:
        return []


class MakesAgain(Lie):
    """Refuses the first attempt, and makes it in place of the second one."""

    def __init__(self, between: Callable[[], Ran]) -> None:
        self._between = between
        self._first: list[RotatePart] | None = None

    def parts(self, parts: list[RotatePart]) -> list[RotatePart]:
        if self._first is None:
            self._first = parts
            self._between().succeeds()
            raise ConflictError
        return self._first if parts else []


def test_a_server_that_leaves_out_what_a_rotation_renews_is_noticed(
    sharing: World, server: HostileServer, tmp_path: Path
) -> None:
    server.lie = MakesNone()
    rotates(sharing.alice).fails(7)
    assert "OLDER" in sharing.alice.run("shares").fails(7)
    for one in (sharing.bob, fresh(sharing.carol, tmp_path / "a carol")):
        # For members, this is a share that alice has yet to renew.
        one.run("cat", "alice:reports/q1.txt").fails(8)


def test_an_attempt_from_before_a_removal_is_not_made_in_place_of_the_next_one(
    sharing: World, server: HostileServer, tmp_path: Path
) -> None:
    """The honest part of this server refuses it; each of its values follows an older version."""
    phone = sharing.alice.copy(tmp_path / "phone")
    server.lie = MakesAgain(lambda: phone.run("unshare", "reports", "carol"))
    rotates(sharing.alice).succeeds()
    server.lie = Lie()
    sharing.carol.run("cat", "alice:reports/q1.txt").fails(5)
    assert sharing.bob.cat("alice:reports/q1.txt") == Q1


def test_a_connection_keeps_only_so_many_parts_and_no_other_connection_has_them(
    sharing: World, server: HostileServer
) -> None:
    nothing = RotatePart([], [], [], [])
    with (
        RawClient.of(sharing.alice, server.address) as one,
        RawClient.of(sharing.alice, server.address) as other,
    ):
        for _ in range(MAX_ROTATE_PARTS):
            assert one.ask(nothing) == Done()
        assert one.refusal(nothing) == "protocol"
        for _ in range(MAX_ROTATE_PARTS):  # it has forgotten the others
            assert one.ask(nothing) == Done()
        large = RotatePart([Signed(bytes(100_000), b"")] * 8, [], [], [])
        assert other.ask(large) == Done()  # kept as it came
    lie = tried(sharing, server, lambda _: None)
    assert [len(parts) for parts in lie.came] == [1]
