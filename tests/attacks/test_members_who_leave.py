"""A member who leaves a share has left it, whatever the owner signs at the same moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fsd.net.dispatch import Dispatcher
from fsproto.messages.base import Message
from fsproto.messages.files import Commit
from fsproto.messages.keylog import Rotate
from tests.support.hostile_server import Answers, HostileServer, Lie
from tests.support.opened_by import OpenedBy
from tests.support.team import Q1, identity
from tests.support.world import Person, Ran, World


class BeforeLists(Lie):
    """An honest server; something happens before it makes the first change of a member list."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act: Callable[[], object] | None = act

    @property
    def happened(self) -> bool:
        return self._act is None

    def serve(self, ask: Message, by: Callable[[Dispatcher | None], Answers]) -> Answers:
        if self._act is not None and (
            isinstance(ask, Rotate) or (isinstance(ask, Commit) and ask.members)
        ):
            act, self._act = self._act, None
            act()
        return by(None)


def members(owner: Person, path: str = "reports") -> dict[str, str]:
    """Return the state of each member of a share, as its owner is shown it."""
    told = json.loads(owner.run("--json", "shares").succeeds())
    return {
        one["user"]: one["state"]
        for share in told["by_me"]
        if share["path"] == path
        for one in share["members"]
    }


LEAVE, BLOCK = ("leave", "alice:reports"), ("block", "alice")


@pytest.mark.cases(4)
@pytest.mark.parametrize("leaves", [LEAVE, BLOCK], ids=["leave", "block"])
@pytest.mark.parametrize(
    "change",
    [
        ("share", "reports", "carol", "--write"),
        ("unshare", "reports", "carol"),
        ("mv", "reports", "archive/"),
        ("keys", "rotate"),
    ],
    ids=lambda change: change[0],
)
def test_a_member_who_leaves_while_the_owner_signs_is_not_added_again(
    team: World, server: HostileServer, change: tuple[str, ...], leaves: tuple[str, ...]
) -> None:
    alice, bob = team.alice, team.bob
    alice.run("share", "archive", "carol").succeeds()  # so that a move there signs the list again
    reader = OpenedBy(identity(bob))
    with team.database() as db:
        reader.read_database(db)
    code = alice.app.fresh()
    given: tuple[str, ...] = ("--otp", code, *change) if change[0] == "keys" else change
    server.lie = lie = BeforeLists(lambda: bob.run(*leaves).succeeds())
    done = alice.run(*given)
    assert lie.happened
    server.lie = Lie()
    assert done.status in (0, 8), done
    if done.status:
        assert "bob has left" in done.err
        alice.run(*given).succeeds()
    path = "archive/reports" if change[0] == "mv" else "reports"
    assert "bob" not in members(alice, path)
    bob.run("cat", "alice:reports/q1.txt").fails(5)
    alice.run("put", alice.write("later", b"later"), f"{path}/later").succeeds()
    with team.database() as db:
        reader.read_database(db)
    assert reader.opens(alice.find(path).keyed.node)  # its first version
    assert not reader.opens(alice.find(f"{path}/later").keyed.node)


def test_a_member_who_leaves_while_the_owner_renews_a_share_is_not_added_again(
    team: World, server: HostileServer
) -> None:
    carol = team.carol
    carol.run("--otp", carol.app.fresh(), "keys", "rotate").succeeds()
    server.lie = lie = BeforeLists(lambda: team.bob.run(*LEAVE).succeeds())
    assert "bob has left" in team.alice.run("ls", "/").err
    assert lie.happened
    server.lie = Lie()
    assert members(team.alice) == {"carol": "ok"}
    team.bob.run("cat", "alice:reports/q1.txt").fails(5)


@pytest.mark.parametrize("role", [("--write",), ()], ids=["the same role", "another role"])
def test_the_owner_shares_again_with_a_member_who_has_left(
    team: World, server: HostileServer, role: tuple[str, ...]
) -> None:
    team.bob.run(*LEAVE).succeeds()
    team.alice.run("share", "reports", "bob", *role).succeeds()
    assert members(team.alice)["bob"] == "ok"
    assert team.bob.cat("alice:reports/q1.txt") == Q1
    team.alice.run("share", "reports", "bob", *role).succeeds()


def test_a_member_who_leaves_again_while_the_owner_shares_again_has_left(
    team: World, server: HostileServer, tmp_path: Path
) -> None:
    """The owner's list says which members have left before; this one has left since."""
    alice, bob = team.alice, team.bob
    bob.run(*LEAVE).succeeds()
    phone = alice.copy(tmp_path / "phone")

    def between() -> Ran:
        phone.run("share", "reports", "bob").succeeds()
        return bob.run(*LEAVE)

    server.lie = BeforeLists(lambda: between().succeeds())
    alice.run("share", "reports", "bob").fails(8)
    server.lie = Lie()
    bob.run("cat", "alice:reports/q1.txt").fails(5)


def test_a_group_is_shared_with_again_although_a_member_of_it_refuses(
    team: World, server: HostileServer
) -> None:
    with team.database() as db:
        db.execute("INSERT INTO user_groups (name, note, created_ms) VALUES ('staff', '', 1)")
        db.execute(
            "INSERT INTO group_members (group_id, user_id, added_ms) "
            "SELECT g.id, u.id, 1 FROM user_groups g, users u WHERE u.name IN ('bob', 'carol')"
        )
        db.commit()
    team.bob.run(*BLOCK).succeeds()
    for _ in range(2):
        team.alice.run("share", "archive", "@staff", "--yes").succeeds()
    assert team.carol.cat("alice:archive/old.txt") == b"long ago\n"
    team.bob.run("ls", "alice:").fails(5)
