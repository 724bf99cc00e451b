"""Single files with a member list: shared ones, and those that were moved out of a shared folder.

The list of a moved file names the writers of its earlier folder, whose signatures it still has.
"""

from __future__ import annotations

import pytest

from tests.support.hostile_server import HostileServer
from tests.support.team import Q1
from tests.support.world import NOTES, Person, World


@pytest.fixture
def alice(team: World, server: HostileServer) -> Person:
    """Alice, who shares `notes.txt`, and has moved `archive/q1.txt` out of the shared `reports`."""
    alice = team.alice
    alice.run("share", "notes.txt", "bob").succeeds()
    alice.run("mv", "reports/q1.txt", "archive/").succeeds()
    return alice


def test_they_are_compared_with_what_was_seen(alice: Person, team: World) -> None:
    for path in ("/", "archive", "notes.txt", "archive/q1.txt"):
        done = alice.run("doctor", path)
        assert "nothing that differs" in done.succeeds().decode() + done.err
    team.bob.run("doctor", "alice:").succeeds()


@pytest.mark.parametrize(("path", "content"), [("notes.txt", NOTES), ("archive/q1.txt", Q1)])
def test_they_are_restored_without_members(
    alice: Person, team: World, path: str, content: bytes
) -> None:
    alice.run("rm", path).succeeds()
    alice.run("restore", path).succeeds()
    assert alice.cat(path) == content
    team.bob.run("cat", f"alice:{path}").fails(5)
    alice.run("doctor").succeeds()
