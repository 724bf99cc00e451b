"""Keys that replace others: what others make of them, and answers that are lost or not true."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from fsd.policies import LoginPolicy
from fsproto import crypto
from fsproto.keylog.entries import KeyLogEntry, entry_bytes
from fsproto.keys.key_file import open_identity
from fsproto.messages.account import Welcome
from fsproto.messages.base import Done, Failure
from fsproto.messages.files import Found
from fsproto.messages.keylog import LogEntries
from fsproto.names import parse_path
from fsproto.packing import unpack
from fsproto.proofs.prefix_tree import PrefixTree
from fsproto.sealed.folder import FolderState, sign_state
from fsproto.types import NO_HASH
from tests.support.hostile_server import HostileServer, Lie, Rewrites
from tests.support.world import FILES, NOTES, World

Q1 = FILES["alice"]["reports/q1.txt"]


def fingerprint(profile: Path) -> str:
    return open_identity((profile / "identity.key").read_bytes(), None).bundle.fingerprint


def test_new_keys_open_and_sign_what_the_old_ones_did(world: World, liar: HostileServer) -> None:
    alice, bob = world.alice, world.bob
    alice.run("share", "reports", "bob", "--write").succeeds()
    assert bob.cat("alice:reports/q1.txt") == Q1
    before = fingerprint(bob.profile)
    bob.run("--otp", bob.app.fresh(), "keys", "rotate").succeeds()
    assert fingerprint(bob.profile) != before
    assert bob.cat("alice:reports/q1.txt") == Q1
    bob.run("put", bob.write("later", b"later"), "alice:reports/").succeeds()
    assert alice.cat("reports/later") == b"later"
    bob.put("mine", b"mine").succeeds()
    assert bob.cat("mine") == b"mine"


def test_a_new_share_is_sealed_to_the_new_keys_and_needs_no_old_ones(
    world: World, liar: HostileServer
) -> None:
    alice, bob = world.alice, world.bob
    alice.run("share", "reports", "bob").succeeds()
    bob.run("--otp", bob.app.fresh(), "keys", "rotate").succeeds()

    def sealed() -> bytes:
        with world.database() as db:
            found: bytes = db.execute("SELECT sealed FROM grants").fetchone()[0]
            return found

    before = sealed()
    alice.run("shares").succeeds()
    assert sealed() != before
    assert bob.cat("alice:reports/q1.txt") == Q1


def test_where_it_is_not_known_whether_the_keys_were_replaced_the_next_login_tells(
    world: World, liar: HostileServer
) -> None:
    alice, before = world.alice, fingerprint(world.alice.profile)
    liar.lie = Rewrites(Done, lambda _: Failure("internal", "It went wrong.", "", 0))
    alice.run("--otp", alice.app.fresh(), "keys", "rotate").fails(1)
    liar.lie = Lie()
    assert (alice.profile / "identity.next").exists()
    assert alice.cat("notes.txt") == NOTES
    assert not (alice.profile / "identity.next").exists()
    assert fingerprint(alice.profile) != before


def test_keys_that_were_never_registered_are_forgotten(world: World, liar: HostileServer) -> None:
    alice, before = world.alice, fingerprint(world.alice.profile)
    bobs = (world.bob.profile / "identity.key").read_bytes()
    (alice.profile / "identity.next").write_bytes(bobs)
    assert alice.cat("notes.txt") == NOTES
    assert not (alice.profile / "identity.next").exists()
    assert fingerprint(alice.profile) == before


def test_a_rotation_that_the_old_key_has_not_signed_is_refused_by_everybody(
    world: World, liar: HostileServer
) -> None:
    """The server replaces a person's keys by its own (Backendal and others, S&P 2023)."""
    alice, bob = world.alice, world.bob
    alice.run("share", "reports", "bob").succeeds()
    bob.run("--otp", bob.app.fresh(), "keys", "rotate").succeeds()

    def forged(said: LogEntries) -> LogEntries:
        *others, last = said.entries
        entry = unpack(last, KeyLogEntry)
        own = crypto.SigningKey(bytes(32)).public
        return replace(said, entries=[*others, entry_bytes(replace(entry, ed25519=own))])

    liar.lie = Rewrites(LogEntries, forged)
    told = alice.run("ls").fails(7)
    assert "KEY LOG" in told


def test_a_key_that_was_replaced_signs_nothing_new(world: World, liar: HostileServer) -> None:
    """A thief of the old keys and the server change a folder that was seen since."""
    alice, bob = world.alice, world.bob
    alice.run("mkdir", "reports/deep").succeeds()
    alice.run("put", alice.write("d", b"deep"), "reports/deep/d").succeeds()
    alice.run("share", "reports", "bob").succeeds()
    stolen = (alice.profile / "identity.key").read_bytes()
    alice.run("--otp", alice.app.fresh(), "keys", "rotate").succeeds()
    assert bob.cat("alice:reports/deep/d") == b"deep"  # under the old signature, as ever
    thief = open_identity(stolen, None)
    with bob.session() as session:
        folder = session.tree.find(parse_path("alice:reports/deep"))
        view = session.tree.view(folder.keyed, [])
    body = replace(
        view.state.body,
        version=view.state.body.version + 1,
        lineage=view.state.point.next_lineage,
        root=NO_HASH,
    )
    forged = sign_state(thief.signing, body).signed
    nothing = PrefixTree().prove([])

    def bent(said: Found) -> Found:
        named = unpack(said.state.payload, FolderState).folder
        return Found(forged, nothing, []) if named == folder.keyed.node else said

    liar.lie = Rewrites(Found, bent)
    told = bob.run("cat", "alice:reports/deep/d").fails(7)
    assert "WERE REPLACED" in told


def test_after_too_many_rotations_the_hint_has_the_local_time_of_the_next_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "XST-05:45")
    time.tzset()
    try:
        with HostileServer(world.home, logins=LoginPolicy(rotations_a_day=1)) as server:
            world.meet(server.address)
            before_s = time.time()
            world.bob.run("--otp", world.bob.app.fresh(), "keys", "rotate").succeeds()
            said = world.bob.run("--otp", world.bob.app.fresh(), "keys", "rotate").fails(6)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "once in the last 24 hours" in said
    there = datetime.fromtimestamp(before_s, UTC) + timedelta(days=1, hours=5, minutes=45)
    shown = {f"{there + timedelta(minutes=late):%Y-%m-%d %H:%M}" for late in range(3)}
    assert any(f"It is possible again at {each}." in said for each in shown), said


def test_a_hint_of_the_server_reaches_the_user(world: World, liar: HostileServer) -> None:
    liar.lie = Rewrites(Welcome, lambda _: Failure("not-allowed", "It is not.", "Ask Bob.", 0))
    said = world.alice.run("ls").fails(6)
    assert "It is not." in said
    assert "Ask Bob." in said
