"""Sharing with the real programs: all commands, and their errors."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fsclient.app import App
from fsproto.names import parse_path
from tests.conftest import TIER
from tests.support.client_processes import (
    CONFLICT,
    INTERRUPTED,
    NOT_ALLOWED,
    NOT_FOUND,
    SECURITY,
    USAGE,
    Client,
    admin,
    with_a_room,
)
from tests.support.fixed_keys import turned
from tests.support.sqlite_files import opened

PEOPLE = 30 if TIER == "soak" else 10


@pytest.fixture(scope="module")
def first_three(newcomer) -> list[Client]:
    return [newcomer().enrol() for _ in range(3)]


@pytest.fixture
def three(first_three: list[Client], client: Client, tmp_path: Path) -> list[Client]:
    """Three people with local folders for this test alone; `room` is a folder of the first one."""
    return with_a_room(first_three, client.room, tmp_path)


def put(person: Client, path: str, content: bytes) -> None:
    person.write("content", content)
    person.quick("put", "content", path).ok()


def test_the_ways_of_a_shared_folder(three: list[Client]):
    alice, bob, carol = three
    room, seen = alice.room, f"{alice.name}:{alice.room}"
    put(alice, f"{room}/a", b"first")
    alice.quick("share", room, bob.name, "--write").ok()
    alice.quick("share", room, carol.name).ok()
    assert alice.quick("share", room, carol.name).ok().lines == []  # sharing again changes nothing
    put(alice, f"{room}/later", b"shared at once")
    assert bob.quick("cat", f"{seen}/later").ok().out == b"shared at once"
    bob.write("b", b"bob's")
    bob.quick("put", "b", f"{seen}/").ok()
    bob.quick("mkdir", f"{seen}/inner").ok()
    bob.quick("mv", f"{seen}/b", f"{seen}/inner/").ok()
    carol.quick("get", f"{seen}/inner/b", "got").ok()
    assert (carol.folder / "got").read_bytes() == b"bob's"
    carol.quick("put", "got", f"{seen}/").fails(NOT_ALLOWED)
    carol.quick("rm", f"{seen}/a").fails(NOT_ALLOWED)
    shares = alice.quick("--json", "shares", room).ok().json()
    roles = {one["user"]: one["role"] for one in shares["by_me"][0]["members"]}
    assert roles == {bob.name: "writer", carol.name: "reader"}
    assert f"{seen}/" in carol.quick("shares").ok().text
    carol.quick("leave", seen).ok()
    carol.quick("ls", seen).fails(NOT_FOUND)
    alice.quick("unshare", room, bob.name).ok()
    bob.quick("ls", seen).fails(NOT_FOUND)
    assert alice.cat(f"{room}/inner/b") == b"bob's"
    assert alice.quick("shares", room).ok().text == "Nobody but you can see it.\n"


def test_a_file_alone_is_shared(three: list[Client]):
    alice, bob, _ = three
    put(alice, f"{alice.room}/one-{alice.room}", b"alone")
    path = f"{alice.room}/one-{alice.room}"
    alice.quick("share", path, bob.name, "--write").fails(NOT_ALLOWED)
    alice.quick("share", path, bob.name).ok()
    assert bob.quick("cat", f"{alice.name}:one-{alice.room}").ok().out == b"alone"
    put(alice, path, b"newer")
    assert bob.quick("cat", f"{alice.name}:one-{alice.room}").ok().out == b"newer"
    alice.quick("unshare", path, bob.name).ok()


def test_shares_within_shares(three: list[Client]):
    alice, bob, carol = three
    room = alice.room
    alice.quick("mkdir", "-p", f"{room}/outer/in-{room}").ok()
    put(alice, f"{room}/outer/in-{room}/x", b"x")
    alice.quick("share", f"{room}/outer/in-{room}", carol.name).ok()
    alice.quick("share", f"{room}/outer", bob.name, "--write").ok()
    bob.write("b", b"bob's")
    bob.quick("put", "b", f"{alice.name}:outer/in-{room}/").ok()
    assert carol.quick("cat", f"{alice.name}:in-{room}/b").ok().out == b"bob's"
    alice.quick("unshare", f"{room}/outer", bob.name).ok()
    assert carol.quick("cat", f"{alice.name}:in-{room}/b").ok().out == b"bob's"
    put(alice, f"{room}/outer/in-{room}/y", b"y")
    assert carol.quick("cat", f"{alice.name}:in-{room}/y").ok().out == b"y"
    alice.quick("unshare", f"{room}/outer/in-{room}", carol.name).ok()


def test_what_cannot_be_shared_is_said(three: list[Client], newcomer):
    alice, bob, _ = three
    room, seen = alice.room, f"{alice.name}:{alice.room}"
    alice.quick("share", room, "unknown-user").fails(NOT_FOUND, "enrol")
    alice.quick("share", room, newcomer().name).fails(NOT_FOUND, "enrol")
    alice.quick("share", room, f"{bob.name}x").fails(NOT_FOUND, f"Did you mean '{bob.name}'?")
    alice.quick("verify", f"{bob.name}x").fails(NOT_FOUND, f"Did you mean '{bob.name}'?")
    alice.quick("share", room, alice.name).fails(USAGE, "yours already")
    alice.quick("share", "/", bob.name).fails(NOT_ALLOWED, "top of your tree")
    alice.quick("share", f"{room}/missing", bob.name).fails(NOT_FOUND)
    alice.quick("unshare", room, bob.name).fails(NOT_FOUND, "not shared")
    alice.quick("share", room, bob.name, "--write").ok()
    bob.quick("share", seen, "nobody").fails(NOT_ALLOWED, "only its owner")
    bob.quick("mv", seen, "mine").fails(NOT_ALLOWED)
    bob.quick("leave", f"{seen}/inner").fails(USAGE)
    bob.quick("mkdir", f"{seen}/one", f"{seen}/one/two").ok()
    bob.quick("mv", f"{seen}/one", f"{seen}/one/two/").fails(NOT_ALLOWED, "into itself")
    alice.quick("mv", room, f"{room}/one/").fails(NOT_ALLOWED, "into itself")
    bob.write("b", b"b")
    bob.quick("put", "b", f"{alice.name}:").fails(NOT_ALLOWED)
    alice.quick("verify", alice.name).fails(USAGE)


def test_people_who_are_disabled_or_whose_keys_were_reset(three: list[Client], newcomer):
    alice, _, _ = three
    other = newcomer().enrol()
    admin(alice.server, "disable-user", other.name)
    alice.quick("share", alice.room, other.name).fails(NOT_ALLOWED, "disabled")
    admin(alice.server, "enable-user", other.name)
    alice.quick("share", alice.room, other.name).ok()
    admin(alice.server, "reset-keys", other.name, "--yes")
    ran = alice.quick("shares").ok()
    assert f"THE KEYS OF {other.name} WERE RESET" in ran.err
    alice.quick("share", alice.room, other.name, "--write").fails(SECURITY, "NO LONGER THOSE")
    put(alice, f"{alice.room}/still", b"mine")
    assert alice.cat(f"{alice.room}/still") == b"mine"


def test_of_somebody_who_was_removed_nothing_is_asked_that_cannot_be_done(
    three: list[Client], newcomer
):
    alice, _, _ = three
    other = newcomer().enrol()
    alice.quick("share", alice.room, other.name).ok()
    admin(alice.server, "remove-user", other.name, "--yes")
    ran = alice.quick("shares").ok()
    assert f"THE KEYS OF {other.name} WERE RESET by the administrator, or the account" in ran.err
    assert "fsclient verify" not in ran.err
    told = alice.quick("share", alice.room, other.name).fails(SECURITY, "there are no others").err
    assert "If the account was removed, that is all" in told
    assert "fsclient verify" not in told


def test_a_lower_role_is_reported(three: list[Client]):
    alice, bob, _ = three
    told = alice.quick("share", alice.room, bob.name, "--write").ok().err
    assert f"{bob.name} may read and change '{alice.room}', and sees" in told
    told = alice.quick("share", alice.room, bob.name).ok().err
    assert f"{bob.name} may only read '{alice.room}' from now on, and sees" in told


@pytest.mark.parametrize("file", ["people.db", "memory.db"])
def test_a_damaged_memory_is_called_so_and_nothing_is_lost(three: list[Client], file: str):
    alice, _, _ = three
    put(alice, f"{alice.room}/x", b"x")
    path = alice.profile / file
    with opened(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for name in (f"{file}-wal", f"{file}-shm"):
        (alice.profile / name).unlink(missing_ok=True)
    whole = path.read_bytes()
    path.write_bytes(b"no database at all" * 400)
    alice.quick("ls").fails(SECURITY, "damaged")
    alice.quick("share", alice.room, three[1].name).fails(SECURITY, "damaged")
    path.write_bytes(whole)
    assert alice.quick("cat", f"{alice.room}/x").ok().out == b"x"


def test_a_damaged_log_of_keys_is_called_so(three: list[Client]):
    alice, bob, _ = three
    path = alice.profile / "people.db"
    with opened(path) as db:
        of_bob = "FROM log WHERE user = ?"
        at, entry = db.execute(f"SELECT at, entry {of_bob}", (bob.name,)).fetchone()
        db.execute("UPDATE log SET entry = ? WHERE at = ?", (turned(entry), at))
    alice.quick("share", alice.room, bob.name).fails(SECURITY, "damaged")
    with opened(path) as db:
        db.execute("UPDATE log SET entry = ? WHERE at = ?", (entry, at))
    alice.quick("share", alice.room, bob.name).ok()


def test_two_who_replace_one_file_at_once_do_not_undo_each_other(three: list[Client]):
    alice, bob, carol = three
    room, seen = alice.room, f"{alice.name}:{alice.room}"
    put(alice, f"{room}/plan", b"before")
    for one in (bob, carol):
        alice.quick("share", room, one.name, "--write").ok()
        one.write("mine", one.name.encode() * 300_000)
    with ThreadPoolExecutor(2) as at_once:
        ended = list(at_once.map(lambda one: one.run("put", "mine", f"{seen}/plan"), (bob, carol)))
    won = alice.cat(f"{room}/plan")
    assert {one.status for one in ended} <= {0, CONFLICT}
    assert any(one.status == 0 for one in ended)
    for one, end in zip((bob, carol), ended, strict=True):
        assert (one.folder / "mine").read_bytes() == one.name.encode() * 300_000
        if end.status == CONFLICT:
            assert won != (one.folder / "mine").read_bytes()
            one.quick("put", "mine", f"{seen}/plan").ok()


def test_new_keys_for_all_can_be_interrupted_and_taken_up_again(three: list[Client]):
    alice, bob, carol = three
    room = alice.room
    for number in range(450):
        alice.write(f"{room}/{number}", b"")
    alice.quick("put", room, "/").ok()
    for one in (bob, carol):
        alice.quick("share", room, one.name).ok()
    process = alice.start("unshare", room, bob.name, "--now")
    assert process.stderr is not None
    while b"new keys so far" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(60) in (0, INTERRUPTED)
    bob.quick("ls", f"{alice.name}:{room}").fails(NOT_FOUND)
    assert len(carol.names(f"{alice.name}:{room}")) == 450
    done = alice.quick("--json", "unshare", room, bob.name, "--now").ok().json()
    assert 0 <= done["renewed"] <= 250
    app = App()
    app.options.home = alice.home
    with app.session() as session:
        top = session.tree.find(parse_path(room))
        children = session.tree.children(top).nodes
    assert (top.keyed.generation, top.keyed.names_since) == (2, 2)
    assert {(one.is_due, one.keyed.generation) for one in children} == {(False, 2)}
    assert len(carol.names(f"{alice.name}:{room}")) == 450


@pytest.mark.long
def test_many_people_write_into_one_folder_at_once(three: list[Client], newcomer):
    alice = three[0]
    room, seen = alice.room, f"{alice.name}:{alice.room}"
    people = [newcomer().enrol() for _ in range(PEOPLE)]
    alice.script(*(f"share {room} {one.name} --write" for one in people)).ok()
    for one in people:
        one.write(one.name, one.name.encode())
    with ThreadPoolExecutor(PEOPLE) as at_once:
        ended = list(at_once.map(lambda one: one.run("put", one.name, f"{seen}/"), people))
    assert [one.status for one in ended] == [0] * PEOPLE
    alice.quick("get", room, "all").ok()
    got = {path.name: path.read_text() for path in (alice.folder / "all").iterdir()}
    assert got == {one.name: one.name for one in people}


def test_safety_numbers_are_the_same_on_both_sides(three: list[Client]):
    alice, bob, _ = three
    told = [
        json.loads(one.quick("--json", "verify", other.name).ok().text)
        for one, other in ((alice, bob), (bob, alice))
    ]
    assert told[0]["number"] == told[1]["number"]
    assert told[0]["fingerprint"] == told[1]["own_fingerprint"]
    alice.quick("verify", bob.name, "--confirm").ok()
    assert "compared" in alice.quick("verify", bob.name).ok().text
