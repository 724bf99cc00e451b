"""Sharing with a group, with the real programs: shown, confirmed, added and removed members."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.client_processes import (
    CONFLICT,
    NOT_ALLOWED,
    NOT_FOUND,
    USAGE,
    Client,
    Terminal,
    admin,
    with_a_room,
)

_NUMBERS = itertools.count(1)
Made = Callable[..., str]


@pytest.fixture(scope="module")
def first_four(newcomer) -> list[Client]:
    return [newcomer().enrol() for _ in range(4)]


@pytest.fixture
def four(first_four: list[Client], client: Client, tmp_path: Path) -> list[Client]:
    """Four people with local folders for this test alone; `room` is a folder of the first one."""
    own = with_a_room(first_four, client.room, tmp_path)
    own[0].write("a", b"hers")
    own[0].quick("put", "a", f"{client.room}/a").ok()
    return own


@pytest.fixture
def group(first_four: list[Client]) -> Made:
    """A maker of groups; it takes people and returns the group's name."""

    def make(*people: Client) -> str:
        name, server = f"crew{next(_NUMBERS)}-x", first_four[0].server
        admin(server, "add-group", name)
        if people:
            admin(server, "add-member", name, *(one.name for one in people))
        return name

    return make


def roles(owner: Client, path: str) -> dict[str, tuple[str, list[str], bool]]:
    """Return each member's role, the groups that give it, and whether they also have it alone."""
    shares = owner.quick("--json", "shares", path).ok().json()["by_me"]
    return {
        one["user"]: (one["role"], one["groups"], one["alone"])
        for share in shares
        for one in share["members"]
    }


def standing(owner: Client, path: str) -> dict[str, Any]:
    """Return what `shares` reports about the one group of a share."""
    ((told,),) = [
        one["groups"] for one in owner.quick("--json", "shares", path).ok().json()["by_me"]
    ]
    return dict(told)


def sees(person: Client, owner: Client) -> bool:
    return person.quick("cat", f"{owner.name}:{owner.room}/a").status == 0


def test_an_owner_with_three_people_shares_and_takes_it_back(four, group, newcomer):
    alice, bob, carol, dave = four
    late, room = newcomer(), alice.room
    team = group(alice, bob, carol, late)
    with Terminal(alice, "share", room, f"@{team}", columns=200) as terminal:
        terminal.wait_for(f"{bob.name}")
        terminal.wait_for("new to this client, safety numbers not compared")
        terminal.wait_for(f"{late.name}")
        terminal.wait_for("has not enrolled yet: left out")
        terminal.wait_for(f"Share '{room}' with {bob.name} and {carol.name} (may read)?")
        terminal.type("n\r")
        assert terminal.ends() == 1
        assert "nothing was changed" in terminal.shown
        assert f"  {alice.name} " not in terminal.shown
    assert not sees(bob, alice)
    with Terminal(alice, "share", room, f"@{team}", columns=200) as terminal:
        terminal.wait_for("[y/N]")
        terminal.type("y\r")
        terminal.wait_for(f"{bob.name} and {carol.name} may read '{room}'")
        assert terminal.ends() == 0
    assert (sees(bob, alice), sees(carol, alice), sees(dave, alice)) == (True, True, False)
    again = alice.quick("share", room, f"@{team}", "--yes").ok()
    assert "already" in again.err

    admin(alice.server, "add-member", team, dave.name)
    admin(alice.server, "remove-member", team, carol.name)
    told = alice.quick("shares", room).ok().text
    assert (
        f"{dave.name} is in @{team} now and cannot see it: 'fsclient share {room} @{team}'" in told
    )
    assert (
        f"{carol.name} is not in @{team} any more and still has it: 'fsclient unshare {room} "
        in told
    )
    assert f"{late.name} in @{team} must enrol first" in told
    assert (sees(dave, alice), sees(carol, alice)) == (False, True)

    alice.quick("verify", dave.name, "--confirm").ok()
    ran = alice.quick("share", room, f"@{team}", "--yes").ok()
    assert f"{dave.name}  verified by safety number" in ran.err
    assert f"{dave.name} may read '{room}'" in ran.err
    alice.quick("unshare", room, carol.name).ok()
    assert (sees(dave, alice), sees(carol, alice), sees(bob, alice)) == (True, False, True)

    alice.quick("share", room, bob.name).ok()
    with Terminal(alice, "unshare", room, f"@{team}", columns=200) as terminal:
        terminal.wait_for(f"{bob.name}  keeps it otherwise, as reader")
        terminal.wait_for(f"{dave.name}  loses it")
        terminal.wait_for(f"Take '{room}' from {dave.name}?")
        terminal.type("yes\r")
        assert terminal.ends() == 0
    assert (sees(dave, alice), sees(bob, alice)) == (False, True)
    assert roles(alice, room) == {bob.name: ("reader", [], True)}
    assert alice.cat(f"{room}/a") == b"hers"


def test_a_person_who_joins_during_the_question_gets_nothing(four, group):
    alice, bob, carol, _ = four
    team = group(bob)
    with Terminal(alice, "share", alice.room, f"@{team}", columns=200) as terminal:
        terminal.wait_for("[y/N]")
        admin(alice.server, "add-member", team, carol.name)
        terminal.type("y\r")
        terminal.wait_for(f"{bob.name} may read")
        assert terminal.ends() == 0
    assert (sees(bob, alice), sees(carol, alice)) == (True, False)
    assert standing(alice, alice.room)["waiting"] == [carol.name]


def test_a_person_whose_keys_change_while_the_owner_is_asked_is_not_sealed_to(
    four, group, newcomer
):
    alice, bob, *_ = four
    other = newcomer().enrol()
    team = group(bob, other)
    for change in ("rotate", "reset"):
        with Terminal(alice, "share", alice.room, f"@{team}", columns=200) as terminal:
            terminal.wait_for("[y/N]")
            if change == "rotate":
                other.quick("--otp", other.app.fresh(), "keys", "rotate").ok()
            else:
                admin(alice.server, "reset-keys", other.name, "--yes")
            terminal.type("y\r")
            assert terminal.ends() == CONFLICT
        assert roles(alice, alice.room) == {}
        assert not sees(bob, alice)
    alice.quick("share", alice.room, f"@{team}", "--yes").ok()
    assert list(roles(alice, alice.room)) == [bob.name]


def test_each_way_has_its_own_role_and_the_best_counts(four, group):
    alice, bob, carol, _ = four
    room = alice.room
    readers, writers = group(bob, carol), group(bob)
    alice.quick("share", room, carol.name, "--write").ok()
    told = alice.quick("share", room, f"@{readers}", "--yes").ok().err
    assert f"{carol.name} may also change it, by another way" in told
    assert roles(alice, room)[carol.name] == ("writer", [readers], True)
    assert roles(alice, room)[bob.name] == ("reader", [readers], False)
    alice.quick("share", room, f"@{writers}", "--yes", "--write").ok()
    assert roles(alice, room)[bob.name] == ("writer", [readers, writers], False)
    bob.write("b", b"his")
    bob.quick("put", "b", f"{alice.name}:{room}/b").ok()
    # Naming bob as a reader does not reduce the role that he has through a group.
    told = alice.quick("--json", "share", room, bob.name).ok().json()
    assert (told["role"], told["changed"]) == ("writer", True)
    alice.quick("unshare", room, f"@{writers}", "--yes").ok()
    assert roles(alice, room)[bob.name] == ("reader", [readers], True)
    bob.quick("put", "b", f"{alice.name}:{room}/c").fails(NOT_ALLOWED)
    assert alice.cat(f"{room}/b") == b"his"
    alice.quick("unshare", room, f"@{readers}", "--yes").ok()
    assert roles(alice, room) == {
        bob.name: ("reader", [], True),
        carol.name: ("writer", [], True),
    }
    alice.quick("share", room, f"@{readers}", "--yes").ok()
    alice.quick("unshare", room, bob.name).ok()  # both his own share and the one through a group
    assert list(roles(alice, room)) == [carol.name]


def test_what_is_shared_with_a_group_keeps_that_as_it_moves_and_takes_new_keys(four, group):
    alice, bob, carol, dave = four
    room = alice.room
    team = group(bob, carol)
    alice.quick("mkdir", "-p", f"{room}/in", f"{room}/other").ok()
    alice.quick("share", f"{room}/in", f"@{team}", "--yes").ok()
    alice.quick("share", f"{room}/in", dave.name).ok()
    alice.quick("mv", f"{room}/in", f"{room}/other/").ok()
    bob.quick("--otp", bob.app.fresh(), "keys", "rotate").ok()
    alice.quick("shares").ok()
    alice.quick("unshare", f"{room}/other/in", dave.name, "--now").ok()
    assert roles(alice, f"{room}/other/in") == {
        bob.name: ("reader", [team], False),
        carol.name: ("reader", [team], False),
    }
    carol.quick("leave", f"{alice.name}:in").ok()
    alice.quick("shares").ok()
    assert standing(alice, f"{room}/other/in")["waiting"] == [carol.name]


def test_another_device_knows_by_which_group_people_came(four, group, tmp_path):
    alice, bob, carol, _ = four
    team = group(bob, carol)
    alice.quick("share", alice.room, f"@{team}", "--yes").ok()
    alice.run("keys", "export", "alice.keys", FSCLIENT_EXPORT_PASSPHRASE="for the journey").ok()
    device = copy.copy(alice)
    device.home = tmp_path / "other device"
    device.run(
        "keys",
        "import",
        "alice.keys",
        "--no-passphrase",
        FSCLIENT_EXPORT_PASSPHRASE="for the journey",
    ).ok()
    device.quick("login", "--otp", device.app.fresh()).ok()
    assert roles(device, alice.room)[bob.name] == ("reader", [team], False)
    device.quick("unshare", alice.room, f"@{team}", "--yes").ok()
    assert not sees(bob, alice)
    assert not sees(carol, alice)


def test_what_cannot_be_shared_with_a_group_is_said(four, group, newcomer):
    alice, bob, *_ = four
    room, team = alice.room, group(bob)
    lone, none, unready = group(alice), group(), group(newcomer())
    ran = alice.run("share", room, f"@{team}").fails(USAGE, "no terminal", "--yes")
    assert bob.name in ran.err  # the members are shown all the same
    alice.quick("share", room, "@no-such-group", "--yes").fails(NOT_FOUND, "knows no group")
    alice.quick("share", room, "@Te am", "--yes").fails(USAGE, "cannot name a group")
    alice.quick("share", room, "@", "--yes").fails(USAGE, "cannot name a group")
    for empty in (lone, none, unready):
        alice.quick("share", room, f"@{empty}", "--yes").fails(NOT_FOUND, "no members of")
    alice.quick("share", "/", f"@{team}", "--yes").fails(NOT_ALLOWED, "top of your tree")
    alice.quick("share", f"{room}/a", f"@{team}", "--yes", "--write").fails(
        NOT_ALLOWED, "is a file"
    )
    alice.quick("share", f"{room}/none", f"@{team}", "--yes").fails(NOT_FOUND)
    alice.quick("unshare", room, f"@{team}", "--yes").fails(NOT_FOUND, f"not shared with @{team}")
    assert roles(alice, room) == {}
    alice.quick("share", room, f"@{team}", "--yes").ok()
    alice.run("unshare", room, f"@{team}").fails(USAGE, "no terminal")
    bob.quick("share", f"{alice.name}:{room}", f"@{team}", "--yes").fails(
        NOT_ALLOWED, "only its owner"
    )
    admin(alice.server, "remove-group", team, "--yes")
    assert standing(alice, room)["exists"] is False
    assert f"@{team} no longer exists" in alice.quick("shares", room).ok().text
    alice.quick("unshare", room, f"@{team}", "--yes").ok()
    assert roles(alice, room) == {}


def test_a_disabled_or_removed_user_does_not_stop_the_others(four, group, newcomer):
    alice, bob, *_ = four
    gone, out = newcomer().enrol(), newcomer().enrol()
    team = group(bob, gone, out)
    admin(alice.server, "disable-user", out.name)
    ran = alice.quick("share", alice.room, f"@{team}", "--yes").ok()
    assert out.name not in ran.err
    assert set(roles(alice, alice.room)) == {bob.name, gone.name}
    admin(alice.server, "remove-user", gone.name, "--yes")
    admin(alice.server, "enable-user", out.name)
    told = standing(alice, alice.room)
    # A removed account has no share left.
    assert (told["waiting"], told["gone"]) == ([out.name], [])
    alice.quick("share", alice.room, f"@{team}", "--yes").ok()
    assert set(roles(alice, alice.room)) == {bob.name, out.name}


def test_a_script_gets_it_as_json_and_a_shell_shares_in_its_session(four, group):
    alice, bob, carol, _ = four
    room, team = alice.room, group(alice, bob, carol)
    told = alice.quick("--json", "share", room, f"@{team}", "--yes", "--write").ok().json()
    assert (told["group"], told["role"], told["changed"]) == (team, "writer", True)
    assert [one["user"] for one in told["members"]] == [bob.name, carol.name]
    assert all(one["new"] for one in told["members"])
    assert told["left_out"] == []
    ran = alice.script(f"--json unshare {room} @{team} --yes", f"--json share {room} @{team} --yes")
    taken, given = (line for line in ran.ok().lines if line.startswith("{"))
    assert f'"members": ["{bob.name}", "{carol.name}"]' in taken
    assert '"role": "reader"' in given


def test_in_the_shell_people_are_asked_and_groups_are_completed(four, group):
    alice, bob, *_ = four
    room, team = alice.room, group(bob)
    with Terminal(alice, "shell", columns=200) as screen:
        screen.wait_for(f"{alice.name}>")
        screen.type(f"share {room} @{team}\r")
        screen.wait_for(f"Share '{room}' with {bob.name}")
        screen.type("y\r")
        screen.wait_for(f"{bob.name} may read '{room}'")
        screen.wait_for(f"{alice.name}>")
        screen.type(f"unshare {room} @{team[:-2]}\t")
        screen.wait_for(f"@{team}")
        screen.type("\r")
        screen.wait_for(f"Take '{room}' from {bob.name}?")
        screen.type("n\r")
        screen.wait_for("nothing was changed")
        screen.wait_for(f"{alice.name}>")
        screen.type(f"unshare {room} @{team} --yes\r")
        screen.wait_for("any more")
        screen.wait_for(f"{alice.name}>")
        screen.type("exit\r")
        assert screen.ends() == 0
    assert roles(alice, room) == {}
