"""Listings of large folders are stored on the client, and say no more than the server can prove."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fsclient.tree import stored_listings
from fsproto.messages import Message
from fsproto.messages.files import States
from tests.attacks.test_unchanged_folders import Listens
from tests.support.hostile_server import HostileServer, Lie, Repeats
from tests.support.world import Person, Ran, World

MANY = stored_listings.FEWEST + 5


@pytest.fixture
def alice(world: World, liar: HostileServer) -> Person:
    """Return alice, who has put a large folder and has not listed it yet."""
    for number in range(MANY):
        world.alice.write(f"many/file {number:03}", b"content")
    world.alice.write("many/below/deep", b"content")
    world.alice.run("put", world.alice.folder / "many").succeeds()
    return world.alice


def lists(alice: Person, liar: HostileServer, *command: str | Path) -> tuple[Ran, int]:
    """Run a command; return it, and how many folders the server listed for it."""
    liar.lie = listens = Listens()
    ran = alice.run(*command)
    liar.lie = Lie()
    return ran, len(listens.listed)


def files(alice: Person) -> list[Path]:
    return sorted((alice.profile / "listings").glob("*"))


def test_a_large_folder_is_listed_again_only_after_a_change(
    alice: Person, liar: HostileServer
) -> None:
    first, listed = lists(alice, liar, "ls", "-l", "many")
    assert (len(first.succeeds().splitlines()), listed) == (MANY + 1, 1)
    assert lists(alice, liar, "ls", "-l", "many") == (first, 0)
    assert lists(alice, liar, "--json", "ls", "many")[1] == 0
    alice.run("put", alice.write("x", b"new"), "many/below/x").succeeds()
    assert lists(alice, liar, "ls", "-l", "many") == (first, 0)
    alice.run("put", alice.write("x", b"longer"), "many/file 000").succeeds()
    second, listed = lists(alice, liar, "ls", "-l", "many")
    assert (second.out != first.out, listed) == (True, 1)
    assert lists(alice, liar, "ls", "-l", "many") == (second, 0)


def test_every_command_says_the_same_with_a_stored_listing(
    alice: Person, liar: HostileServer
) -> None:
    commands: tuple[tuple[str, ...], ...] = (
        ("--json", "ls", "-R", "many"),
        ("find", "many", "--min-size", "3"),
        ("tree", "many"),
        ("du", "many"),
        ("--json", "check", str(alice.folder / "many"), "many"),
        ("ls", "-l", "many/file *"),
    )
    before = []
    for command in commands:
        before.append(alice.run(*command).succeeds())
        for stored in files(alice):
            stored.unlink()
    alice.run("ls", "many").succeeds()
    assert len(files(alice)) == 1
    for command, said in zip(commands, before, strict=True):
        ran, listed = lists(alice, liar, *command)
        assert listed <= 1, command  # the small folder below
        assert without_seconds(ran.succeeds()) == without_seconds(said), command


def without_seconds(said: bytes) -> object:
    try:
        found = json.loads(said)
    except ValueError:
        return said
    return found if isinstance(found, list) else found | {"seconds": 0}


def test_an_older_state_is_an_alarm_also_for_a_stored_listing(
    alice: Person, liar: HostileServer
) -> None:
    alice.run("ls", "many").succeeds()
    liar.lie = repeats = Repeats(States)
    alice.run("ls", "many").succeeds()
    assert repeats.first
    alice.run("put", alice.write("x", b"new"), "many/x").succeeds()
    assert "OLDER STATE" in alice.run("ls", "many").fails(7)


def test_an_entry_that_is_elsewhere_by_now_is_an_alarm(
    alice: Person, liar: HostileServer, tmp_path: Path
) -> None:
    alice.run("mkdir", "other").succeeds()
    alice.run("ls", "many").succeeds()
    liar.lie = repeats = Repeats(States)
    alice.run("ls", "many").succeeds()
    assert repeats.first
    alice.copy(tmp_path / "laptop").run("mv", "many/file 000", "other/").succeeds()
    assert alice.cat("other/file 000") == b"content"  # its newer version is seen, and no new state
    assert "OLDER STATE" in alice.run("ls", "many").fails(7)
    liar.lie = Lie()
    assert b"file 000" not in alice.run("ls", "many").succeeds()


def test_a_withheld_state_leads_to_a_listing(alice: Person, liar: HostileServer) -> None:
    class Withholds(Listens):
        def answer(self, ask: Message, honestly: Callable[[Message], Message]) -> Message:
            found = honestly(ask)
            return States([None]) if isinstance(found, States) else found

    said = alice.run("ls", "many").succeeds()
    liar.lie = withholds = Withholds()
    assert alice.run("ls", "many").succeeds() == said
    assert b"below/deep" in alice.run("find", "many", "--name", "d*").succeeds()
    assert len(withholds.listed) == 1 + 2


def test_a_stored_listing_shows_no_name_and_is_private(alice: Person) -> None:
    alice.run("ls", "many").succeeds()
    (stored,) = files(alice)
    data = stored.read_bytes()
    assert b"file 000" not in data
    assert b"content" not in data
    assert stored.stat().st_mode & 0o777 == 0o600
    assert stored.parent.stat().st_mode & 0o777 == 0o700


def test_a_damaged_stored_listing_is_replaced(alice: Person, liar: HostileServer) -> None:
    said = alice.run("ls", "many").succeeds()
    (stored,) = files(alice)
    for number in range(MANY):
        alice.write(f"more/other {number:03}", b"")
    alice.run("put", alice.folder / "more").succeeds()
    alice.run("ls", "more").succeeds()
    (other,) = set(files(alice)) - {stored}
    whole = stored.read_bytes()
    damaged = {
        "empty": b"",
        "short": whole[:40],
        "head": bytes([whole[0] ^ 1]) + whole[1:],
        "body": whole[:-1] + bytes([whole[-1] ^ 1]),
        "another's": other.read_bytes(),
    }
    for how, data in damaged.items():
        stored.write_bytes(data)
        ran, listed = lists(alice, liar, "ls", "many")
        assert (ran.succeeds(), listed) == (said, 1), how
        assert lists(alice, liar, "ls", "many") == (ran, 0), how


def test_without_room_for_a_stored_listing_a_folder_is_listed(
    alice: Person, liar: HostileServer
) -> None:
    (alice.profile / "listings").write_bytes(b"in the way")
    said = alice.run("ls", "many").succeeds()
    assert lists(alice, liar, "ls", "many") == (alice.run("ls", "many"), 1)
    assert len(said.splitlines()) == MANY + 1


def test_a_key_renewal_needs_a_new_listing(
    world: World, alice: Person, liar: HostileServer
) -> None:
    alice.run("share", "many", "bob").succeeds()
    alice.run("ls", "many").succeeds()
    assert lists(alice, liar, "ls", "many")[1] == 0
    alice.run("unshare", "many", "bob").succeeds()
    ran, listed = lists(alice, liar, "ls", "many")
    assert (len(ran.succeeds().splitlines()), listed) == (MANY + 1, 1)


def test_the_oldest_stored_listings_are_deleted_above_the_limit(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice.run("ls", "many").succeeds()
    (first,) = files(alice)
    for number in range(MANY):
        alice.write(f"more/other {number:03}", b"")
    alice.run("put", alice.folder / "more").succeeds()
    monkeypatch.setattr(stored_listings, "_ALL_BYTES", first.stat().st_size + 100)
    alice.run("ls", "more").succeeds()
    (left,) = files(alice)
    assert left != first
