"""The limits of readers, writers and removed writers, with a server that helps them.

Known from Hofmann and Truong, "End-to-End Encrypted Cloud Storage in the Wild" (CCS 2024), for a
server that puts files into shared folders; from Li and others, "Secure Untrusted Data Repository
(SUNDR)" (OSDI 2004), for a server that accepts writes that a person is not allowed to make; from
Grolimund and others, "Cryptree" (SRDS 2006), for what a removed member keeps under lazy revocation.
"""

from __future__ import annotations

from tests.support.hostile_server import HostileServer, assert_refused
from tests.support.team import DEEP, Accomplice
from tests.support.world import Person, World

NOBODY = "may not write there"


def refused_everywhere(person: Person, folder: str) -> None:
    """Check that a client rejects a folder's listing, the forged file in it, and a put into it."""
    assert NOBODY in person.run("ls", folder).fails(7)
    assert_refused(person, path=f"{folder}/forged")
    assert_refused(person, "put", str(person.write("mine", b"mine")), f"{folder}/mine")


def test_a_reader_cannot_write_with_the_help_of_the_server(
    team: World, server: HostileServer
) -> None:
    reports = team.carol.find("alice:reports").keyed
    Accomplice(team, team.carol).adds(reports)
    refused_everywhere(team.alice, "reports")
    refused_everywhere(team.bob, "alice:reports")


def test_a_reader_cannot_hide_a_file_with_the_help_of_the_server(
    team: World, server: HostileServer
) -> None:
    q1 = team.carol.find("alice:reports/q1.txt").manifest.body
    reports = team.carol.find("alice:reports").keyed
    Accomplice(team, team.carol).writes(reports, without=[q1.token])
    assert NOBODY in team.bob.run("ls", "alice:reports").fails(7)
    assert_refused(team.alice, path="reports/q1.txt")


def test_a_reader_cannot_replace_a_file_that_a_writer_vouches_for(
    team: World, server: HostileServer
) -> None:
    # A writer's state names a manifest that a reader signed; a client that opens it must warn.
    q1 = team.carol.find("alice:reports/q1.txt")
    reader = Accomplice(team, team.carol)
    forged = reader.manifest(
        team.carol.find("alice:reports").keyed, "q1.txt", reader.blob()[0], q1.manifest,
        node=q1.keyed,
    )  # fmt: skip
    Accomplice(team, team.bob).writes(team.bob.find("alice:reports").keyed, forged)
    assert NOBODY in assert_refused(team.alice, path="reports/q1.txt")


def test_a_person_without_a_grant_cannot_write(team: World, server: HostileServer) -> None:
    team.alice.run("unshare", "reports", "carol").succeeds()
    reports = team.bob.find("alice:reports").keyed  # as if carol had received the key
    Accomplice(team, team.carol).adds(reports)
    refused_everywhere(team.alice, "reports")
    refused_everywhere(team.bob, "alice:reports")


def test_a_writer_cannot_write_outside_the_folder(team: World, server: HostileServer) -> None:
    # A writer exceeds the grant: in the folder's parent, and in another of the owner's folders.
    writer = Accomplice(team, team.bob)
    top, archive = team.alice.find("/").keyed, team.alice.find("archive").keyed
    writer.adds(archive)
    refused_everywhere(team.alice, "archive")
    writer.adds(top)
    refused_everywhere(team.alice, "/")


def test_a_removed_writer_cannot_write_into_the_folder_any_more(
    team: World, server: HostileServer
) -> None:
    before = team.bob.find("alice:reports").keyed
    team.alice.run("unshare", "reports", "bob").succeeds()
    # Neither under the key that he has, nor under the number of the key that he does not have.
    for generation in (1, 2):
        Accomplice(team, team.bob).adds(before, generation=generation)
        refused_everywhere(team.carol, "alice:reports")
        refused_everywhere(team.alice, "reports")


def test_a_removed_writer_cannot_bring_back_or_hide_a_file(
    team: World, server: HostileServer
) -> None:
    before = team.bob.find("alice:reports")
    q1 = team.bob.find("alice:reports/q1.txt").manifest
    team.alice.run("unshare", "reports", "bob").succeeds()
    team.alice.run("rm", "reports/q1.txt").succeeds()
    Accomplice(team, team.bob).writes(before.keyed, q1)
    assert NOBODY in assert_refused(team.carol, path="alice:reports/q1.txt")


def test_a_removed_writer_cannot_change_a_due_folder_that_was_seen_since(
    team: World, server: HostileServer
) -> None:
    deep = team.bob.find("alice:reports/deep").keyed
    team.bob.run("put", team.bob.write("b", b"b"), "alice:reports/deep/b").succeeds()
    team.alice.run("unshare", "reports", "bob").succeeds()
    assert team.carol.cat("alice:reports/deep/b") == b"b"  # what he wrote before stays valid
    Accomplice(team, team.bob).adds(deep)
    assert "WHO WAS REMOVED" in team.carol.run("ls", "alice:reports/deep").fails(7)
    assert_refused(team.carol, path="alice:reports/deep/b")


def test_a_removed_writer_cannot_change_a_due_folder_last_changed_by_another(
    team: World, server: HostileServer
) -> None:
    deep = team.bob.find("alice:reports/deep").keyed
    team.alice.run("unshare", "reports", "bob").succeeds()
    assert team.carol.cat("alice:reports/deep/d.txt") == DEEP
    Accomplice(team, team.bob).adds(deep)
    assert "WHO WAS REMOVED" in team.carol.run("ls", "alice:reports/deep").fails(7)
    assert_refused(team.carol, path="alice:reports/deep/d.txt")


def test_a_first_look_at_a_due_folder_cannot_date_a_signature(
    team: World, server: HostileServer
) -> None:
    """No signature shows whether an entry was written before or after a removal.

    This limit ends when the folder takes its new key; with `--now` it takes it at once.
    """
    deep = team.bob.find("alice:reports/deep").keyed
    team.alice.run("unshare", "reports", "bob").succeeds()
    Accomplice(team, team.bob).adds(deep)
    assert b"forged" in team.carol.run("ls", "alice:reports/deep").succeeds()
    # From here on the client has seen the folder, and the usual checks apply.
    Accomplice(team, team.bob).adds(deep, "more")
    assert "WHO WAS REMOVED" in team.carol.run("ls", "alice:reports/deep").fails(7)


def test_after_new_keys_for_all_a_removed_writer_cannot_write_anywhere(
    team: World, server: HostileServer
) -> None:
    deep = team.bob.find("alice:reports/deep").keyed
    team.alice.run("unshare", "reports", "bob", "--now").succeeds()
    removed = Accomplice(team, team.bob)
    for generation in (1, 2):
        removed.adds(deep, generation=generation)
        team.carol.run("ls", "alice:reports/deep").fails(7)
        team.alice.run("ls", "reports/deep").fails(7)


def test_a_writer_who_was_made_a_reader_cannot_write(team: World, server: HostileServer) -> None:
    before = team.bob.find("alice:reports").keyed
    team.alice.run("share", "reports", "bob").succeeds()
    Accomplice(team, team.bob).adds(before)
    refused_everywhere(team.carol, "alice:reports")
