"""What `ls` and the next command say of shares: marks of one's own, and news of others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.client_processes import Client, Terminal, with_a_room


@pytest.fixture(scope="module")
def first_three(newcomer) -> list[Client]:
    return [newcomer().enrol() for _ in range(3)]


@pytest.fixture
def three(first_three: list[Client], client: Client, tmp_path: Path) -> list[Client]:
    """Three people with local folders for this test alone; `room` is a folder of the first one."""
    return with_a_room(first_three, client.room, tmp_path)


def news(person: Client, *words: str) -> list[str]:
    """Return the sentences about shares that a command says."""
    said = " ".join(person.quick(*words).ok().err.split())
    return re.findall(r"[^.]*shared (?:a file or folder )?with you[^.]*\.", said)


def test_the_next_command_tells_of_a_new_share_once(three: list[Client]) -> None:
    alice, bob, carol = three
    alice.write("file", b"x")
    alice.quick("put", "file", f"{alice.room}/").ok()
    for one in (bob, carol):
        alice.quick("share", alice.room, one.name).ok()
    (told,) = news(bob, "ls")
    assert re.search(rf"{alice.name} shared a file or folder with you on \d{{4}}-", told)
    assert "'fsclient shares' lists" in told
    assert news(bob, "ls") == []
    assert news(bob, "--otp", bob.app.fresh(), "login") == []
    alice.quick("share", alice.room, bob.name, "--write").ok()  # nothing new for Bob
    assert news(bob, "ls") == []
    alice.quick("share", f"{alice.room}/file", bob.name).ok()
    (told,) = news(bob, "ls")
    assert re.search(rf"shared with you, the last on .* by {alice.name}", told)


def test_programs_and_shares_that_were_taken_back_tell_nothing(three: list[Client]) -> None:
    alice, bob, _ = three
    news(bob, "ls")
    alice.quick("share", alice.room, bob.name).ok()
    assert bob.quick("--json", "ls").ok().err == ""
    alice.quick("unshare", alice.room, bob.name).ok()
    for share in bob.quick("--json", "shares").ok().json()["with_me"]:
        bob.quick("leave", share["path"]).ok()
    assert news(bob, "--otp", bob.app.fresh(), "login") == []


def test_a_long_listing_names_the_members(three: list[Client]) -> None:
    alice, bob, carol = three
    for name in ("apart", "both"):
        alice.quick("mkdir", f"{alice.room}/{name}").ok()
    for one in (bob, carol):
        alice.quick("share", f"{alice.room}/both", one.name).ok()
    first, second = sorted((bob.name, carol.name))
    apart, both = alice.quick("ls", "-l", alice.room).ok().lines
    assert apart.endswith("  apart/")
    assert both.endswith(f"  both/  (shared with {first} and {second})")
    assert "shared" not in alice.quick("ls", alice.room).ok().text
    found = alice.quick("--json", "ls", "-l", alice.room).ok().json()
    assert {one["name"]: sorted(one["shared_with"]) for one in found} == {
        "apart": [],
        "both": [first, second],
    }
    assert alice.quick("--json", "ls", alice.room).ok().json()[0]["shared_with"] is None
    alice.quick("unshare", f"{alice.room}/both", carol.name).ok()
    lines = alice.quick("ls", "-l", alice.room).ok().lines
    (marked,) = [line for line in lines if "shared" in line]
    assert marked.endswith(f"both/  (shared with {bob.name})")
    seen = bob.quick("ls", "-l", f"{alice.name}:").ok().text
    assert "both/" in seen
    assert "shared with" not in seen  # only the owner's list of members is asked for


def test_the_top_names_those_who_share_on_a_terminal(three: list[Client]) -> None:
    alice, bob, _ = three
    alice.quick("share", alice.room, bob.name).ok()
    assert "Shared with you" not in bob.quick("ls").ok().err
    with Terminal(bob, "ls") as terminal:
        terminal.wait_for(f"Shared with you: {alice.name}:")
