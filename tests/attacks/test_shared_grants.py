"""Member lists and sealed keys: replayed, put back, hidden, swapped.

Known from Hofmann and Truong, "End-to-End Encrypted Cloud Storage in the Wild" (CCS 2024), for
unauthenticated sharing; from Samuel and others, "Survivable Key Compromise in Software
Update Systems" (CCS 2010), for rollback and freeze; from Backendal, Haller, Paterson, "MEGA:
Malleable Encryption Goes Awry" (S&P 2023), for keys handed to other places than they are for.
"""

from __future__ import annotations

import os

import pytest
from msgspec.structs import replace

from fsproto.keys.grants import Role
from fsproto.keys.member_list import MemberList
from fsproto.messages.shares import Members, Own, Shared, Shares
from fsproto.packing import pack, unpack
from fsproto.signed import Signed
from tests.support.hostile_server import HostileServer, Lie, Repeats, Rewrites, assert_refused
from tests.support.servers import run
from tests.support.team import DEEP, Q1, Accomplice, put_back, rows, share_of
from tests.support.world import FILES, World

OLD = FILES["alice"]["archive/old.txt"]
EVERYTHING = ("nodes", "manifests", "folder_states", "member_lists", "grants")


def changed(signed: Signed, **how: object) -> Signed:
    """Return a member list that was changed and whose signature was not."""
    return Signed(pack(replace(unpack(signed.payload, MemberList), **how)), signed.signature)


# --- put back


def test_a_member_list_cannot_be_put_back(team: World, server: HostileServer) -> None:
    # The older list still names members that were removed since.
    with team.database() as db:
        before = rows(db, "member_lists", "grants")
    team.alice.run("unshare", "reports", "bob").succeeds()
    assert team.carol.cat("alice:reports/q1.txt") == Q1
    with team.database() as db:
        put_back(db, before)
    assert "OLDER STATE" in assert_refused(team.carol, path="alice:reports/q1.txt")
    assert "OLDER STATE" in team.alice.run("shares").fails(7)
    team.alice.run("share", "reports", "carol", "--write").fails(7)


def test_a_revocation_cannot_be_undone(team: World, server: HostileServer) -> None:
    # Everything is put back to before it: list, key, folder.
    with team.database() as db:
        before = rows(db, *EVERYTHING)
    team.alice.run("unshare", "reports", "bob").succeeds()
    team.carol.run("ls", "alice:reports").succeeds()
    with team.database() as db:
        put_back(db, before)
    for person, path in ((team.alice, "reports/q1.txt"), (team.carol, "alice:reports/q1.txt")):
        assert "OLDER STATE" in assert_refused(person, path=path)
    team.alice.run("put", team.alice.write("new", b"new"), "reports/new").fails(7)


def test_a_file_and_a_folder_that_are_shared_cannot_be_put_back(
    team: World, server: HostileServer
) -> None:
    with team.database() as db:
        before = rows(db, "nodes", "manifests", "folder_states", "blobs")
    team.bob.run("put", team.bob.write("q1", b"newer"), "alice:reports/q1.txt").succeeds()
    assert team.carol.cat("alice:reports/q1.txt") == b"newer"
    with team.database() as db:
        put_back(db, before)
    assert "OLDER STATE" in assert_refused(team.carol, path="alice:reports/q1.txt")
    assert "OLDER STATE" in team.bob.run("ls", "alice:reports").fails(7)


def test_a_file_that_was_removed_from_a_shared_folder_cannot_be_brought_back(
    team: World, server: HostileServer
) -> None:
    with team.database() as db:
        before = rows(db, "nodes", "manifests", "folder_states", "blobs")
    team.bob.run("rm", "alice:reports/q1.txt").succeeds()
    assert_refused(team.carol, path="alice:reports/q1.txt", status=5)
    with team.database() as db:
        put_back(db, before)
    assert "OLDER STATE" in assert_refused(team.carol, path="alice:reports/q1.txt")


# --- for another


@pytest.mark.parametrize(
    "how",
    [
        {"generation": 2},
        {"version": 9},
        {"owner": "bob"},
        {"members": []},
        {"above": [["bob", bytes(32)]]},
    ],
    ids=lambda how: next(iter(how)),
)
def test_a_changed_member_list_is_refused(
    team: World, server: HostileServer, how: dict[str, object]
) -> None:
    team.carol.forget()  # that it is another one than before is not seen
    server.lie = Rewrites(
        Shares,
        lambda said: replace(
            said, shares=[replace(one, members=changed(one.members, **how)) for one in said.shares]
        ),
    )
    assert_refused(team.carol, path="alice:reports/q1.txt")
    server.lie = Rewrites(
        Members, lambda said: Members([changed(one, **how) for one in said.lists])
    )
    team.bob.run("put", team.bob.write("b", b"b"), "alice:reports/b").succeeds()
    assert_refused(team.alice, path="reports/b")


def test_a_reader_cannot_be_made_a_writer_by_the_server(team: World, server: HostileServer) -> None:
    for one in team.everybody:
        one.forget()
    with team.database() as db:
        (payload,) = db.execute("SELECT payload FROM member_lists").fetchone()
        body = unpack(payload, MemberList)
        members = [replace(one, role=Role.WRITER) for one in body.members]
        db.execute("UPDATE member_lists SET payload = ?", (pack(replace(body, members=members)),))
        db.execute("UPDATE grants SET role = ?", (int(Role.WRITER),))
    carol = team.carol
    assert_refused(carol, "put", str(carol.write("c", b"c")), "alice:reports/c")
    assert_refused(team.bob, path="alice:reports/q1.txt")


def test_a_grant_for_another_person_opens_nothing(team: World, server: HostileServer) -> None:
    # Replayed to another person: the list does not name her, the key is not sealed to her.
    team.alice.run("share", "archive", "bob").succeeds()
    bobs = server.lie = Repeats(Shares)
    assert team.bob.cat("alice:archive/old.txt") == OLD
    reports = team.alice.find("reports").keyed.node
    archive = [
        one
        for one in bobs.first[Shares].shares
        if unpack(one.members.payload, MemberList).node != reports
    ]
    server.lie = Rewrites(Shares, lambda _: Shares(archive, more=False))
    assert_refused(team.carol, path="alice:archive/old.txt")
    assert "does not name you" in team.carol.run("ls", "alice:").fails(7)


def test_a_grant_for_another_folder_opens_nothing(team: World, server: HostileServer) -> None:
    team.alice.run("share", "archive", "bob").succeeds()

    def swapped(said: Shares) -> Shares:
        one, other = said.shares
        return replace(
            said, shares=[replace(one, sealed=other.sealed), replace(other, sealed=one.sealed)]
        )

    server.lie = Rewrites(Shares, swapped)
    assert "another key" in assert_refused(team.bob, path="alice:archive/old.txt")


def test_the_folder_of_another_grant_is_not_shown(team: World, server: HostileServer) -> None:
    team.alice.run("share", "archive", "bob").succeeds()

    def swapped(said: Shares) -> Shares:
        one, other = said.shares
        return replace(
            said,
            shares=[replace(one, manifest=other.manifest), replace(other, manifest=one.manifest)],
        )

    server.lie = Rewrites(Shares, swapped)
    assert "another folder" in assert_refused(team.bob, path="alice:archive/old.txt")


# --- hidden


def test_the_members_of_a_folder_cannot_be_hidden_during_a_move_out_of_it(
    team: World, server: HostileServer
) -> None:
    # It would move without a new key, and they could go on reading it.
    server.lie = Rewrites(Members, lambda _: Members([]))
    assert "WITHHOLDS" in team.alice.run("mv", "reports/q1.txt", "archive/").fails(7)
    server.lie = Lie()
    team.alice.run("mv", "reports/q1.txt", "archive/").succeeds()
    assert team.alice.find("archive/q1.txt").keyed.generation == 2


def test_a_share_cannot_be_hidden_from_its_owner(team: World, server: HostileServer) -> None:
    server.lie = Rewrites(Shared, lambda said: replace(said, shared=[]))
    for command in (["shares"], ["shares", "reports"], ["unshare", "reports", "bob"],
                    ["share", "reports", "carol", "--write"]):  # fmt: skip
        assert "WITHHOLDS" in team.alice.run(*command).fails(7)
    server.lie = Lie()
    team.alice.run("unshare", "reports", "bob").succeeds()
    # Alice has removed the folder herself, so no client expects its list.
    team.alice.run("rm", "-r", "reports").succeeds()
    team.alice.run("shares").succeeds()


def test_a_share_further_down_cannot_be_hidden_from_its_owner(
    team: World, server: HostileServer
) -> None:
    # The list there would still name a writer who came from the folder above.
    team.alice.run("share", "reports/deep", "carol").succeeds()
    deep = team.alice.find("reports/deep").keyed.node

    def hides(said: Shared) -> Shared:
        def is_deep(one: Own) -> bool:
            return unpack(one.members.payload, MemberList).node == deep

        return replace(said, shared=[one for one in said.shared if not is_deep(one)])

    server.lie = Rewrites(Shared, hides)
    assert "WITHHOLDS" in team.alice.run("unshare", "reports", "bob").fails(7)


# --- whose writing counts after a move


def test_a_writer_whose_folder_was_moved_away_cannot_write_to_it(
    team: World, server: HostileServer
) -> None:
    alice, bob, carol = team.alice, team.bob, team.carol
    alice.run("share", "reports/deep", "carol").succeeds()
    before = bob.find("alice:reports/deep").keyed
    alice.run("mv", "reports/deep", "archive/").succeeds()
    assert carol.cat("alice:deep/d.txt") == DEEP
    for generation in (1, 2):
        Accomplice(team, bob).adds(before, generation=generation)
        carol.run("ls", "alice:deep").fails(7)
        alice.run("ls", "archive/deep").fails(7)


def test_files_by_a_writer_in_a_folder_that_was_moved_in_are_accepted(
    team: World, server: HostileServer
) -> None:
    alice, bob, carol = team.alice, team.bob, team.carol
    alice.run("unshare", "reports", "carol").succeeds()
    alice.run("share", "archive", "carol").succeeds()
    alice.run("mv", "archive", "reports/").succeeds()
    bob.run("put", bob.write("b", b"bob's"), "alice:reports/archive/b").succeeds()
    assert carol.cat("alice:archive/b") == b"bob's"
    assert alice.cat("reports/archive/b") == b"bob's"


@pytest.mark.parametrize("what", ["reports/sub", "reports/sub/b"], ids=["folder", "file"])
def test_files_by_a_removed_writer_can_be_shared_with_others(
    team: World, server: HostileServer, what: str
) -> None:
    alice, bob, carol = team.alice, team.bob, team.carol
    alice.run("unshare", "reports", "carol").succeeds()
    bob.run("mkdir", "alice:reports/sub").succeeds()
    bob.run("put", bob.write("b", b"bob's"), "alice:reports/sub/b").succeeds()
    alice.run("unshare", "reports", "bob").succeeds()
    alice.run("share", what, "carol").succeeds()
    assert carol.cat("alice:b" if what.endswith("/b") else "alice:sub/b") == b"bob's"


def test_a_member_removed_after_a_reset_does_not_keep_the_folders_key(
    team: World, server: HostileServer
) -> None:
    alice = team.alice
    alice.run("unshare", "reports", "bob").succeeds()
    before = alice.find("reports").keyed.generation
    done = run("fsadmin", "--home", str(team.home), "reset-keys", "carol", "--yes")
    assert done.returncode == 0, done.stderr
    ran = alice.run("share", "reports", "bob")
    assert (ran.status, "KEYS OF carol" in ran.err) == (0, True)
    assert alice.find("reports").keyed.generation > before
    with team.database() as db:
        body = unpack(db.execute("SELECT payload FROM member_lists").fetchone()[0], MemberList)
    assert [one.user for one in body.members] == ["bob"]


# --- others who share


def test_one_bad_share_does_not_hide_the_others(team: World, server: HostileServer) -> None:
    # Anybody can share garbage with anybody: it must not cost them sight of everything else.
    notes = team.carol.find("notes.txt")
    bad = share_of(team.carol, team.bob, notes.keyed, notes.manifest.signed, os.urandom(1500))
    server.lie = Rewrites(
        Shares,
        lambda said: replace(
            said, shares=[*said.shares, bad] if len(said.shares) == 1 else said.shares
        ),
    )
    ran = team.bob.run("shares")
    assert ran.status == 7
    assert b"alice:reports/" in ran.out
    assert b"carol" in ran.out
    assert team.bob.cat("notes.txt") == FILES["bob"]["notes.txt"]
