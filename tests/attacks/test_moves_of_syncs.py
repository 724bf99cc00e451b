"""Two-way syncs move what a user has moved; no move gives keys to people who must not have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.hostile_server import HostileServer
from tests.support.world import Person, World


def synced(person: Person, local: Path, remote: str) -> Any:
    return json.loads(person.run("--json", "sync", "--two-way", local, remote).succeeds())


@pytest.mark.parametrize("back", [False, True], ids=["out of the share", "into the share"])
def test_a_move_that_changes_who_sees_a_file_copies_it(
    team: World, server: HostileServer, back: bool
) -> None:
    alice, local = team.alice, team.alice.folder / "all"
    local.mkdir()
    synced(alice, local, "/")
    old, new = ("notes.txt", "reports/notes.txt") if back else ("reports/q1.txt", "q1.txt")
    before, content = alice.find(old).keyed, (local / old).read_bytes()
    (local / old).rename(local / new)
    result = synced(alice, local, "/")
    assert (result["moved"], result["files"], result["removed"]) == (0, 1, 1)
    after = alice.find(new).keyed
    assert after.key != before.key
    assert after.node != before.node
    assert alice.cat(new) == content
    if back:
        assert team.bob.cat("alice:reports/notes.txt") == content
    else:
        team.bob.run("cat", "alice:reports/q1.txt").fails(5)


def test_a_member_moves_within_a_share(team: World, server: HostileServer) -> None:
    bob, local = team.bob, team.bob.folder / "reports"
    local.mkdir()
    synced(bob, local, "alice:reports")
    (local / "old").mkdir()
    (local / "q1.txt").rename(local / "old/first.txt")
    node = team.alice.find("reports/q1.txt").keyed.node
    assert synced(bob, local, "alice:reports")["moved"] == 1
    moved = team.alice.find("reports/old/first.txt")
    assert (moved.keyed.node, moved.manifest.body.author) == (node, "bob")
    assert team.alice.cat("reports/old/first.txt")
    team.carol.run("cat", "alice:reports/old/first.txt").succeeds()
